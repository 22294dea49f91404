"""Metrics of classification on many resamples at once.

Each function prepares checked rows and returns a function: counts of the rows [b, N] -> values [b],
NaN where the metric has no value. It equals the metric of the same name on the repeated rows.
"""

import numpy as np

from mlops_lib.evaluation.cases import ClassificationCases
from mlops_lib.evaluation.paired.sums import Statistic, mean, mean_of_columns, ratio, row_weights


def accuracy(cases: ClassificationCases) -> Statistic:
    return mean((cases.predicted == cases.codes).astype(float), cases.weights)


def brier(cases: ClassificationCases) -> Statistic:
    errors = ((cases.probabilities - cases.one_hot) ** 2).sum(axis=1)
    return mean(errors / (2 if len(cases.classes) == 2 else 1), cases.weights)


def log_loss(cases: ClassificationCases) -> Statistic:
    """Probabilities are clipped as scikit-learn does."""
    of_truth = cases.probabilities[np.arange(len(cases.codes)), cases.codes]
    tiny = np.finfo(float).eps
    return mean(-np.log(np.clip(of_truth, tiny, 1 - tiny)), cases.weights)


def balanced_accuracy(cases: ClassificationCases) -> Statistic:
    truth = cases.one_hot * row_weights(cases)[:, None]
    right = truth * (cases.predicted == cases.codes)[:, None]

    def values(counts: np.ndarray) -> np.ndarray:
        rows = counts @ truth
        return _of_two_or_more(mean_of_columns(ratio(counts @ right, rows), rows > 0), rows)

    return values


def f1(cases: ClassificationCases) -> Statistic:
    weights = row_weights(cases)[:, None]
    truth, predicted = cases.one_hot, np.eye(len(cases.classes))[cases.predicted]
    both, sums = truth * predicted, (truth + predicted) * weights

    def scores(counts: np.ndarray) -> np.ndarray:
        return np.nan_to_num(ratio(2 * (counts @ (both * weights)), counts @ sums))

    def of_positive(counts: np.ndarray) -> np.ndarray:
        return np.where(counts @ (truth[:, 1] * weights[:, 0]) > 0, scores(counts)[:, 1], np.nan)

    def macro(counts: np.ndarray) -> np.ndarray:
        return mean_of_columns(scores(counts), counts @ sums > 0)

    return of_positive if len(cases.classes) == 2 else macro


def roc_auc(cases: ClassificationCases) -> Statistic:
    return _one_vs_rest(cases, binary_roc_auc)


def average_precision(cases: ClassificationCases) -> Statistic:
    return _one_vs_rest(cases, binary_average_precision)


def _one_vs_rest(cases: ClassificationCases, binary) -> Statistic:  # type: ignore[no-untyped-def]
    """The mean over the classes that have rows, or the value of the positive one of two."""
    weights = row_weights(cases)
    columns = [1] if len(cases.classes) == 2 else cases.present
    parts = [binary(cases.codes == c, cases.probabilities[:, c], weights) for c in columns]
    truth = cases.one_hot * weights[:, None]

    def values(counts: np.ndarray) -> np.ndarray:
        rows = counts @ truth
        scores = np.column_stack([part(counts) for part in parts])
        return _of_two_or_more(mean_of_columns(scores, rows[:, columns] > 0), rows)

    return values


def _of_two_or_more(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """NaN for resamples with rows of one class alone; `rows` is the weight of each class, [b, C]."""
    return np.where((rows > 0).sum(axis=1) > 1, values, np.nan)


def binary_roc_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Statistic:
    """Share of the pairs of a positive and a negative row that are in order; a tie counts as half."""
    order = np.argsort(scores, kind="stable")
    above, below = order[positive[order]], order[~positive[order]]
    first = np.searchsorted(scores[below], scores[above], side="left")
    last = np.searchsorted(scores[below], scores[above], side="right")
    ties = not np.array_equal(first, last)

    def values(counts: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(counts), len(below) + 1))
        np.cumsum(counts.take(below, axis=1) * weights[below], axis=1, out=sums[:, 1:])
        won = sums.take(first, axis=1)
        if ties:
            won = (won + sums.take(last, axis=1)) / 2
        rows = counts.take(above, axis=1) * weights[above]
        return ratio(np.einsum("ij,ij->i", rows, won), rows.sum(axis=1) * sums[:, -1])

    return values


def binary_average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Statistic:
    """Mean of the precision at the score of each positive row; rows of one score are taken together."""
    order = np.argsort(-scores, kind="stable")
    hit = positive[order]
    # The last row with the same score, for each positive row.
    last = np.searchsorted(-scores[order], -scores[order], side="right")[hit] - 1

    def values(counts: np.ndarray) -> np.ndarray:
        rows = counts.take(order, axis=1) * weights[order]
        total, hits = np.cumsum(rows, axis=1), np.cumsum(rows * hit, axis=1)
        precision = np.nan_to_num(ratio(hits.take(last, axis=1), total.take(last, axis=1)))
        return ratio(np.einsum("ij,ij->i", rows[:, hit], precision), hits[:, -1])

    return values
