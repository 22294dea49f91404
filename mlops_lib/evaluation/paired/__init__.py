"""Compares two models on the same rows: paired bootstrap over entities, with every metric of the tasks.

The rows of one entity stay together, so duplicated rows add no significance. Both models,
all metrics and all slices share the resamples.
"""

from mlops_lib.evaluation.paired.compare import compare, scores

__all__ = ["compare", "scores"]
