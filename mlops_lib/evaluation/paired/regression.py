"""Metrics of regression on many resamples at once; see `paired.classification` for the form."""

import numpy as np

from mlops_lib.evaluation.cases import RegressionCases
from mlops_lib.evaluation.paired.sums import Statistic, mean, ratio, row_weights

#: Variance, as a share of the variance of all rows, below which the true values are compared one by one.
NO_VARIANCE = 1e-9


def mae(cases: RegressionCases) -> Statistic:
    return mean(np.abs(cases.truth - cases.predicted), cases.weights)


def rmse(cases: RegressionCases) -> Statistic:
    squared = mean((cases.truth - cases.predicted) ** 2, cases.weights)
    return lambda counts: np.sqrt(squared(counts))


def r2(cases: RegressionCases) -> Statistic:
    weights = row_weights(cases)
    total = weights.sum()
    # Sums of squares lose digits unless the values are near 0.
    truth = cases.truth - (weights @ cases.truth) / total
    sums = np.column_stack([(cases.truth - cases.predicted) ** 2, truth**2, truth, np.ones(len(truth))])
    sums *= weights[:, None]
    small = NO_VARIANCE * (weights @ truth**2) / total

    def values(counts: np.ndarray) -> np.ndarray:
        residual, squares, linear, rows = (counts @ sums).T
        variance = squares - ratio(linear**2, rows)
        for place in np.flatnonzero(~(variance > small * rows)):
            counted = counts[place] * weights
            found = cases.truth[counted > 0]
            varies = len(found) > 0 and found.min() < found.max()
            about = truth - (counted @ truth) / counted.sum() if varies else None
            variance[place] = np.nan if about is None else counted @ about**2
        return 1 - residual / variance

    return values


def median_absolute_error(cases: RegressionCases) -> Statistic | None:
    """None with weights: scikit-learn's weighted median is then computed on the repeated rows."""
    if cases.weights is not None:
        return None
    errors = np.abs(cases.truth - cases.predicted)
    order = np.argsort(errors, kind="stable")
    errors = errors[order]

    def values(counts: np.ndarray) -> np.ndarray:
        sums = np.cumsum(counts.take(order, axis=1), axis=1)
        rows = sums[:, -1]
        middle = [np.minimum((sums <= place[:, None]).sum(axis=1), len(errors) - 1)
                  for place in ((rows - 1) // 2, rows // 2)]  # fmt: skip
        return np.where(rows > 0, (errors[middle[0]] + errors[middle[1]]) / 2, np.nan)

    return values
