"""Metrics of classification, on checked probabilities. scikit-learn is imported on first use."""

from typing import TYPE_CHECKING

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.cases import ClassificationCases


@metric(lowest=0, highest=1)
def roc_auc(cases: "ClassificationCases") -> float:
    """Area under the ROC curve (sklearn.metrics.roc_auc_score); mean of one-vs-rest for C > 2."""
    from sklearn.metrics import roc_auc_score

    columns = _ranked(cases)
    return roc_auc_score(
        cases.one_hot[:, columns], cases.probabilities[:, columns], sample_weight=cases.weights
    )


@metric(lowest=0, highest=1)
def average_precision(cases: "ClassificationCases") -> float:
    """Average precision (sklearn.metrics.average_precision_score); mean of one-vs-rest for C > 2."""
    from sklearn.metrics import average_precision_score

    columns = _ranked(cases)
    return average_precision_score(
        cases.one_hot[:, columns], cases.probabilities[:, columns], sample_weight=cases.weights
    )


@metric(lowest=0, highest=1)
def accuracy(cases: "ClassificationCases") -> float:
    """Share of rows whose most probable class is the true one."""
    from sklearn.metrics import accuracy_score

    return accuracy_score(cases.codes, cases.predicted, sample_weight=cases.weights)


@metric(lowest=0, highest=1)
def balanced_accuracy(cases: "ClassificationCases") -> float:
    """Mean over the classes that have rows of the share of their rows that was found (macro recall)."""
    from sklearn.metrics import recall_score

    _ranked(cases)
    return recall_score(
        cases.codes,
        cases.predicted,
        labels=cases.present,
        average="macro",
        sample_weight=cases.weights,
        zero_division=0.0,
    )


@metric(lowest=0, highest=1)
def f1(cases: "ClassificationCases") -> float:
    """F1 of the positive class; for C > 2 the mean over the classes that have rows or were predicted."""
    import numpy as np
    from sklearn.metrics import f1_score

    two = len(cases.classes) == 2
    if two and 1 not in cases.present:
        raise UndefinedError(f"no row is of the positive class {cases.classes[1]!r}")
    of_either = [
        np.bincount(codes, cases.weights, len(cases.classes)) for codes in (cases.codes, cases.predicted)
    ]
    return f1_score(
        cases.codes,
        cases.predicted,
        labels=None if two else np.flatnonzero(sum(of_either)),
        average="binary" if two else "macro",
        sample_weight=cases.weights,
        zero_division=0.0,
    )


@metric(higher_is_better=False, lowest=0)
def log_loss(cases: "ClassificationCases") -> float:
    """Mean negative log likelihood of the true class, in nats."""
    from sklearn.metrics import log_loss as negative_log_likelihood

    return negative_log_likelihood(
        cases.codes,
        cases.probabilities,
        sample_weight=cases.weights,
        labels=list(range(len(cases.classes))),
    )


@metric(higher_is_better=False, lowest=0, highest=2)
def brier(cases: "ClassificationCases") -> float:
    """Mean squared error of the probabilities (Brier 1950, Monthly Weather Review 78).

    Of P(positive) for two classes, 0 to 1; summed over the classes for more, 0 to 2, as in the paper.
    """
    import numpy as np

    errors = ((cases.probabilities - cases.one_hot) ** 2).sum(axis=1)
    return float(np.average(errors, weights=cases.weights)) / (2 if len(cases.classes) == 2 else 1)


def _ranked(cases: "ClassificationCases") -> list[int]:
    """The classes to compare with the rest; `UndefinedError` where all rows are of one class."""
    if not cases.columns:
        raise UndefinedError(
            f"all {len(cases.codes)} rows are of class {cases.classes[cases.present[0]]!r}, and it compares classes"
        )
    return cases.columns
