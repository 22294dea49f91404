"""Metrics of several yes/no labels, on checked probabilities. scikit-learn is imported on first use.

A metric that compares the rows of both kinds is a mean over the labels that have both.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.label_cases import LabelCases


@metric(lowest=0, highest=1)
def mean_roc_auc(cases: "LabelCases") -> float:
    """Mean over the labels of the area under the ROC curve (sklearn.metrics.roc_auc_score)."""
    from sklearn.metrics import roc_auc_score

    return _mean(cases, roc_auc_score)


@metric(lowest=0, highest=1)
def mean_average_precision(cases: "LabelCases") -> float:
    """Mean over the labels of the average precision (sklearn.metrics.average_precision_score)."""
    from sklearn.metrics import average_precision_score

    return _mean(cases, average_precision_score)


@metric(lowest=0, highest=1)
def micro_f1(cases: "LabelCases") -> float:
    """F1 over all labels of all rows together; a label is predicted where its probability exceeds 0.5."""
    return _f1(cases, "micro")


@metric(lowest=0, highest=1)
def macro_f1(cases: "LabelCases") -> float:
    """Mean over the labels of their F1; 0 for a label that no row has and none is predicted to have."""
    return _f1(cases, "macro")


@metric(lowest=0, highest=1)
def subset_accuracy(cases: "LabelCases") -> float:
    """Share of rows whose labels are all right."""
    right = (cases.truth == (cases.predicted > 0.5)).all(axis=1)
    return float(np.average(right, weights=cases.weights))


@metric(higher_is_better=False, lowest=0, highest=1)
def hamming_loss(cases: "LabelCases") -> float:
    """Share of labels that are wrong, over all rows and labels."""
    wrong = (cases.truth != (cases.predicted > 0.5)).mean(axis=1)
    return float(np.average(wrong, weights=cases.weights))


@metric(higher_is_better=False, lowest=0)
def mean_log_loss(cases: "LabelCases") -> float:
    """Mean over rows and labels of the negative log likelihood, in nats."""
    from sklearn.metrics import log_loss

    losses = [
        log_loss(*cases.column(place), sample_weight=cases.weights, labels=[0, 1])
        for place in range(len(cases.names))
    ]
    return float(np.mean(losses))


def ranked(cases: "LabelCases") -> list[int]:
    """The labels that rows with weight have, and rows with weight lack."""
    return [place for place in range(len(cases.names)) if len(np.unique(cases.weighed[:, place])) == 2]


def _mean(cases: "LabelCases", score: Callable[..., Any]) -> float:
    if not (places := ranked(cases)):
        raise UndefinedError("no label has both rows with it and rows without it")
    return float(np.mean([score(*cases.column(p), sample_weight=cases.weights) for p in places]))


def _f1(cases: "LabelCases", average: str) -> float:
    from sklearn.metrics import f1_score

    if not cases.weighed.any():
        raise UndefinedError("no row has any of the labels")
    predicted = (cases.predicted > 0.5).astype(int)
    return f1_score(
        cases.truth.astype(int), predicted, average=average, sample_weight=cases.weights, zero_division=0.0
    )
