"""The rows that a model is furthest from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.evaluation.cases import ClassificationCases, RegressionCases
from mlops_lib.evaluation.label_cases import LabelCases


class Mistake(NamedTuple):
    """A row with a large error.

    Attributes:
        row: Its position.
        text: Truth and prediction, a line each.
    """

    row: int
    text: str


def mistakes(task: str, y_true: Any, y_pred: Any, classes: Sequence[Any], most: int) -> list[Mistake]:
    """The worst rows first: wrong classes that the model is most certain of,
    or the largest differences of numbers.

    Args:
        task: ``classification``, ``multilabel`` or ``regression``; of others, there are none.
        y_true, y_pred, classes: As the task takes them; of several labels, `classes` are their names.
        most: Most rows.
    """
    if task == "classification":
        cases = ClassificationCases.read(y_true, y_pred, classes=classes, unknown_is_wrong=True)
        sure = cases.probabilities.max(axis=1)
        wrong = np.flatnonzero((cases.predicted != cases.codes) | cases.unknown)
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
        truth = np.asarray(y_true, dtype=object)
        return [
            Mistake(
                int(row), f"is {truth[row]}\nmodel: {cases.classes[cases.predicted[row]]} {sure[row]:.0%}"
            )
            for row in worst
        ]
    if task == "regression":
        numbers = RegressionCases.read(y_true, y_pred)
        error = np.abs(numbers.truth - numbers.predicted)
        worst = np.argsort(-error, kind="stable")[:most]
        return [
            Mistake(int(row), f"is {numbers.truth[row]:.4g}\nmodel: {numbers.predicted[row]:.4g}")
            for row in worst
        ]
    if task == "multilabel":
        labels = LabelCases.read(y_true, y_pred, classes, binary=True)
        distance = np.abs(labels.truth - labels.predicted)
        at = distance.argmax(axis=1)  # of each row, the label that is most wrong
        far = distance[np.arange(len(at)), at]
        wrong = np.flatnonzero(far > 0.5)
        return [
            Mistake(
                int(row),
                f"{labels.names[at[row]]}: {'yes' if labels.truth[row, at[row]] else 'no'}\n"
                f"model: {labels.predicted[row, at[row]]:.0%}",
            )
            for row in wrong[np.argsort(-far[wrong], kind="stable")][:most]
        ]
    return []
