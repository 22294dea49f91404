"""Truth and predictions of N rows, checked, in the form that metrics and figures take."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs
from mlops_lib.wording import listed

SUM_TOLERANCE = 1e-2  # rows of a float16 softmax over many classes miss 1 by this much
#: How to get rows of every class into every split.
STRATIFY = "data.split: {by: label} puts rows of each class into every split"


class RegressionCases(NamedTuple):
    """N numbers and their predictions, each float64 [N]; `weights` of the rows too, or None."""

    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def read(cls, y_true: Any, y_pred: Any, weights: Any = None) -> Self:
        """Check truth and predictions; EvaluationError unless both are N finite numbers."""
        truth, predicted = inputs.numbers(y_true, "y_true"), inputs.numbers(y_pred, "y_pred")
        inputs.same_length(truth, predicted)
        return cls(truth, predicted, None if weights is None else inputs.weights(weights, len(truth)))

    def take(self, rows: np.ndarray) -> Self:
        """The rows at these positions, int [M]; a position may come several times."""
        return self._replace(
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            weights=None if self.weights is None else self.weights[rows],
        )


class ClassificationCases(NamedTuple):
    """N labels and their class probabilities, in one form for two classes and for many.

    Attributes:
        classes: The C classes that the model knows, in the order of the columns.
        codes: Position of each label in `classes`, int [N].
        probabilities: float64 [N, C].
        weights: Weight of each row, float64 [N]; None: all count the same.
        unknown: The rows whose label is none of `classes`, bool [N].
            Their code and probabilities are those of a model that is certain of a wrong class.
    """

    classes: list[Any]
    codes: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray | None
    unknown: np.ndarray

    @property
    def present(self) -> list[int]:
        """The classes that have rows here."""
        return np.flatnonzero(np.bincount(self.codes, self.weights, len(self.classes))).tolist()

    @property
    def columns(self) -> list[int]:
        """The classes that can be ranked against the rest: the positive one of two, else each that has rows.

        Empty if all rows are of one class.
        """
        if len(self.present) < 2:
            return []
        return [1] if len(self.classes) == 2 else self.present

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class (int [N]); of equals the first, so P(positive) must exceed 0.5."""
        return self.probabilities.argmax(axis=1)

    @property
    def one_hot(self) -> np.ndarray:
        """The truth as 0 and 1 (int [N, C])."""
        return np.eye(len(self.classes), dtype=int)[self.codes]

    @classmethod
    def read(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        classes: Sequence[Any] = (),
        weights: Any = None,
        unknown_is_wrong: bool = False,
    ) -> Self:
        """Check labels and probabilities.

        Args:
            y_true: N labels: text, booleans, integers, or anything else that can be sorted.
            y_pred: For two classes P(the second class), [N]; for C > 2 [N, C].
            classes: All classes, in the order of the columns. Empty: those of `y_true`, sorted.
            weights: Weights of the rows; None: all count the same.
            unknown_is_wrong: Count a label that is none of `classes` as wrongly predicted,
                instead of an error.

        Raises:
            EvaluationError: A label is missing or none of `classes`,
                or y_pred holds no probabilities for them.
        """
        known, codes = inputs.labels(y_true, classes=classes)
        if len(known) == 1:
            whose = "the model knows only" if len(classes) else f"all {len(codes)} rows are of"
            raise EvaluationError(
                f"Scores need at least two classes, and {whose} class {known[0]!r}. Give rows of more classes; "
                f"{STRATIFY}."
            )
        unknown = codes < 0
        if unknown.any() and not unknown_is_wrong:
            raise EvaluationError(_unknown_classes(y_true, unknown, known))
        given = inputs.numbers(y_pred, "y_pred", ndim=(1, 2))
        inputs.same_length(codes, given)
        probabilities = _probabilities(given, known, of_truth=not len(classes))
        if unknown.any():
            codes[unknown], probabilities[unknown] = _certain_and_wrong(probabilities[unknown])
        weighed = None if weights is None else inputs.weights(weights, len(codes))
        return cls(known, codes, probabilities, weighed, unknown)

    def take(self, rows: np.ndarray) -> Self:
        """The rows at these positions, int [M]; a position may come several times."""
        return self._replace(
            codes=self.codes[rows],
            probabilities=self.probabilities[rows],
            weights=None if self.weights is None else self.weights[rows],
            unknown=self.unknown[rows],
        )


def _probabilities(given: np.ndarray, classes: list[Any], of_truth: bool) -> np.ndarray:
    """Class probabilities, float64 [N, C], of predictions in the form of `ClassificationCases.read`.

    `of_truth` says in an error whether the classes are those of the truth.
    """
    wanted = (len(given),) if len(classes) == 2 else (len(given), len(classes))
    if given.shape != wanted:
        form = f"P({classes[1]!r}), shape" if len(classes) == 2 else "a column for each, in this order: shape"
        whose = "y_true" if of_truth else "the train split"
        hint = " If the model knows classes that y_true lacks, name all with classes=." if of_truth else ""
        raise EvaluationError(
            f"y_pred has shape {given.shape}, and {whose} the {len(classes)} classes "
            f"{listed(map(repr, classes))}. Give {form} {wanted}.{hint}"
        )
    outside = np.any(((given < 0) | (given > 1)).reshape(len(given), -1), axis=1)
    if outside.any():
        raise EvaluationError(
            f"y_pred is no probability in {inputs.bad_rows(outside)}: values run from {given.min():.4g} to "
            f"{given.max():.4g}. Scores of a network need a sigmoid (two classes) or softmax first."
        )
    if given.ndim == 1:
        return np.column_stack([1 - given, given])
    sums = given.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        raise EvaluationError(
            f"Probabilities do not sum to 1 in {inputs.bad_rows(off)}; the first sums to {sums[off][0]:.4g}."
        )
    return given / sums[:, None]


def _certain_and_wrong(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and probabilities that every metric counts as wrong: the most probable class is certain,
    and the truth is the least probable."""
    size = probabilities.shape[1]
    # The last of several least probable classes, so that it differs from the first of the most probable.
    least = size - 1 - probabilities[:, ::-1].argmin(axis=1)
    return least, np.eye(size)[probabilities.argmax(axis=1)]


def _unknown_classes(y_true: Any, unknown: np.ndarray, classes: list[Any]) -> str:
    """The error for labels that are none of the classes of the train split."""
    labels = np.asarray(y_true, dtype=object)[unknown]
    names, codes = inputs.labels(np.array([repr(label) for label in labels], dtype=object))
    rows = np.flatnonzero(unknown)
    found = []
    for code, name in list(enumerate(names))[: inputs.SHOWN]:
        marked = np.zeros(len(unknown), dtype=bool)
        marked[rows[codes == code]] = True
        found.append(f"{name} in {inputs.bad_rows(marked)}")
    more = f", and {len(names) - inputs.SHOWN} more classes" if len(names) > inputs.SHOWN else ""
    return (
        f"The train split has no row of class {', '.join(found)}{more}. It has the classes "
        f"{listed(map(repr, classes))}. {STRATIFY}; evaluation.unknown_class: wrong counts such rows as wrong."
    )
