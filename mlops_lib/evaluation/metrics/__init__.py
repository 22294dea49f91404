"""Metrics: small objects that score checked rows, listed in the ``metric`` table of `mlops_lib.plugins`."""

from mlops_lib.evaluation.metrics.interface import Case, Metric, TextMetric, UndefinedError, metric

__all__ = ["Case", "Metric", "TextMetric", "UndefinedError", "metric"]
