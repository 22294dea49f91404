"""Metrics of several numbers for each row. scikit-learn is imported on first use.

Labels have units of their own, so an error is told in standard deviations of its label's true values.
"""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.label_cases import LabelCases


@metric(highest=1)
def mean_r2(cases: "LabelCases") -> float:
    """Mean over the labels of the share of variance that is explained (sklearn.metrics.r2_score)."""
    from sklearn.metrics import r2_score

    spread(cases)
    return float(r2_score(cases.truth, cases.predicted, sample_weight=cases.weights))


@metric(higher_is_better=False, lowest=0)
def scaled_rmse(cases: "LabelCases") -> float:
    """Mean over the labels of the root mean squared error, in standard deviations of the label."""
    squared = np.average((cases.truth - cases.predicted) ** 2, axis=0, weights=cases.weights)
    return float(np.mean(np.sqrt(squared) / spread(cases)))


def spread(cases: "LabelCases") -> np.ndarray:
    """Standard deviation of each label's true values, float64 [L].

    Raises:
        UndefinedError: All true values of a label are equal.
    """
    counted = cases.weighed
    for place, name in enumerate(cases.names):
        if counted[:, place].min() == counted[:, place].max():
            raise UndefinedError(f"all {len(counted)} true values of {name!r} are {counted[0, place]:g}")
    mean = np.average(cases.truth, axis=0, weights=cases.weights)
    return np.sqrt(np.average((cases.truth - mean) ** 2, axis=0, weights=cases.weights))
