"""Metrics of several labels on many resamples at once; see `paired.classification` for the form."""

from collections.abc import Callable

import numpy as np

from mlops_lib.evaluation.cases import RegressionCases
from mlops_lib.evaluation.label_cases import LabelCases
from mlops_lib.evaluation.paired import regression
from mlops_lib.evaluation.paired.classification import binary_average_precision, binary_roc_auc
from mlops_lib.evaluation.paired.sums import Statistic, mean, mean_of_columns, ratio

Binary = Callable[[np.ndarray, np.ndarray, np.ndarray], Statistic]


def mean_roc_auc(cases: LabelCases) -> Statistic:
    return _mean_of_labels(cases, binary_roc_auc)


def mean_average_precision(cases: LabelCases) -> Statistic:
    return _mean_of_labels(cases, binary_average_precision)


def subset_accuracy(cases: LabelCases) -> Statistic:
    return mean((cases.truth == _hits(cases)).all(axis=1).astype(float), cases.weights)


def hamming_loss(cases: LabelCases) -> Statistic:
    return mean((cases.truth != _hits(cases)).mean(axis=1), cases.weights)


def mean_log_loss(cases: LabelCases) -> Statistic:
    """Probabilities are clipped as scikit-learn does."""
    tiny = np.finfo(float).eps
    of_truth = np.where(cases.truth == 1, cases.predicted, 1 - cases.predicted)
    return mean(-np.log(np.clip(of_truth, tiny, 1 - tiny)).mean(axis=1), cases.weights)


def micro_f1(cases: LabelCases) -> Statistic:
    truth, both, sums = _f1_parts(cases)

    def values(counts: np.ndarray) -> np.ndarray:
        scores = ratio(2 * (counts @ both).sum(axis=1), (counts @ sums).sum(axis=1))
        return np.where((counts @ truth).sum(axis=1) > 0, scores, np.nan)

    return values


def macro_f1(cases: LabelCases) -> Statistic:
    truth, both, sums = _f1_parts(cases)

    def values(counts: np.ndarray) -> np.ndarray:
        scores = np.nan_to_num(ratio(2 * (counts @ both), counts @ sums)).mean(axis=1)
        return np.where((counts @ truth).sum(axis=1) > 0, scores, np.nan)

    return values


def mean_r2(cases: LabelCases) -> Statistic:
    parts = _r2_of_labels(cases)
    return lambda counts: np.mean([part(counts) for part in parts], axis=0)


def scaled_rmse(cases: LabelCases) -> Statistic:
    """The error in standard deviations is the square root of the variance that is not explained."""
    parts = _r2_of_labels(cases)
    return lambda counts: np.mean([np.sqrt(np.maximum(1 - part(counts), 0)) for part in parts], axis=0)


def _mean_of_labels(cases: LabelCases, binary: Binary) -> Statistic:
    """The mean over the labels that some resampled rows have and others lack."""
    weights = _weights(cases)
    pairs = [cases.column(place) for place in range(len(cases.names))]
    parts = [binary(truth == 1, predicted, weights) for truth, predicted in pairs]
    ones, zeros = cases.truth * weights[:, None], (1 - cases.truth) * weights[:, None]

    def values(counts: np.ndarray) -> np.ndarray:
        counted = (counts @ ones > 0) & (counts @ zeros > 0)
        return mean_of_columns(np.column_stack([part(counts) for part in parts]), counted)

    return values


def _f1_parts(cases: LabelCases) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, truth and prediction both, and their sum, weighted, each [N, L]."""
    weights, hits = _weights(cases)[:, None], _hits(cases)
    return cases.truth * weights, cases.truth * hits * weights, (cases.truth + hits) * weights


def _r2_of_labels(cases: LabelCases) -> list[Statistic]:
    return [
        regression.r2(RegressionCases(*cases.column(place), cases.weights))
        for place in range(len(cases.names))
    ]


def _hits(cases: LabelCases) -> np.ndarray:
    """Which labels are predicted, 0 and 1, [N, L]."""
    return (cases.predicted > 0.5).astype(float)


def _weights(cases: LabelCases) -> np.ndarray:
    return np.ones(len(cases.truth)) if cases.weights is None else cases.weights
