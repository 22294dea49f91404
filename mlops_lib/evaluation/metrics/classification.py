"""Metrics of classification, on checked probabilities. scikit-learn is imported on first use."""

from typing import TYPE_CHECKING

from mlops_lib.evaluation.metrics.interface import metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.cases import ClassificationCases


@metric(lowest=0, highest=1)
def roc_auc(cases: "ClassificationCases") -> float:
    """Area under the ROC curve (sklearn.metrics.roc_auc_score); mean of one-vs-rest for C > 2."""
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(cases.one_hot[:, cases.columns], cases.probabilities[:, cases.columns])


@metric(lowest=0, highest=1)
def average_precision(cases: "ClassificationCases") -> float:
    """Average precision (sklearn.metrics.average_precision_score); mean of one-vs-rest for C > 2."""
    from sklearn.metrics import average_precision_score

    return average_precision_score(cases.one_hot[:, cases.columns], cases.probabilities[:, cases.columns])


@metric(lowest=0, highest=1)
def accuracy(cases: "ClassificationCases") -> float:
    """Share of rows whose most probable class is the true one."""
    from sklearn.metrics import accuracy_score

    return accuracy_score(cases.codes, cases.predicted)


@metric(lowest=0, highest=1)
def balanced_accuracy(cases: "ClassificationCases") -> float:
    """Mean over the classes of the share of their rows that was found (macro recall)."""
    from sklearn.metrics import recall_score

    return recall_score(cases.codes, cases.predicted, average="macro", zero_division=0.0)


@metric(lowest=0, highest=1)
def f1(cases: "ClassificationCases") -> float:
    """F1 of the positive class; mean over the classes for C > 2."""
    from sklearn.metrics import f1_score

    average = "binary" if len(cases.classes) == 2 else "macro"
    return f1_score(cases.codes, cases.predicted, average=average, zero_division=0.0)


@metric(higher_is_better=False, lowest=0)
def log_loss(cases: "ClassificationCases") -> float:
    """Mean negative log likelihood of the true class, in nats."""
    from sklearn.metrics import log_loss as negative_log_likelihood

    return negative_log_likelihood(cases.codes, cases.probabilities)


@metric(higher_is_better=False, lowest=0, highest=2)
def brier(cases: "ClassificationCases") -> float:
    """Mean squared error of the probabilities (Brier 1950, Monthly Weather Review 78).

    Of P(positive) for two classes, 0 to 1; summed over the classes for more, 0 to 2, as in the paper.
    """
    errors = (cases.probabilities - cases.one_hot)[:, cases.columns]
    return float((errors**2).sum(axis=1).mean())
