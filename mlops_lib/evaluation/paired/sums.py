"""Sums over resampled rows, on which the metrics are built."""

from collections.abc import Callable
from typing import Any

import numpy as np

#: Counts of the rows in each resample, [b, N] -> the metric on each resample, [b]; NaN where it has no value.
Statistic = Callable[[np.ndarray], np.ndarray]


def row_weights(cases: Any) -> np.ndarray:
    """Weight of each row, float64 [N]."""
    return np.ones(len(cases[1])) if cases.weights is None else cases.weights


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, and NaN where `bottom` is 0."""
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def mean(values: np.ndarray, weights: np.ndarray | None) -> Statistic:
    """The weighted mean of one value a row."""
    each = np.ones(len(values)) if weights is None else weights
    sums = np.column_stack([values * each, each])

    def statistic(counts: np.ndarray) -> np.ndarray:
        top, bottom = (counts @ sums).T
        return ratio(top, bottom)

    return statistic


def mean_of_columns(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean of each row over its counted columns; NaN for a row without any."""
    return ratio(np.where(counted, values, 0.0).sum(axis=1), counted.sum(axis=1).astype(float))
