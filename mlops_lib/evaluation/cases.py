"""Truth and predictions of N rows, checked, in the form that metrics and figures take."""

from typing import Any, NamedTuple, Self

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs

SUM_TOLERANCE = 1e-2  # rows of a float16 softmax over many classes miss 1 by this much


class RegressionCases(NamedTuple):
    """N numbers and their predictions, each float64 [N]."""

    truth: np.ndarray
    predicted: np.ndarray

    @classmethod
    def read(cls, y_true: Any, y_pred: Any) -> Self:
        """Check truth and predictions; EvaluationError unless both are N finite numbers."""
        truth, predicted = inputs.numbers(y_true, "y_true"), inputs.numbers(y_pred, "y_pred")
        inputs.same_length(truth, predicted)
        return cls(truth, predicted)


class ClassificationCases(NamedTuple):
    """N labels and their class probabilities, in one form for two classes and for many.

    Attributes:
        classes: The C classes, sorted.
        codes: Position of each label in `classes`, int [N].
        probabilities: float64 [N, C].
    """

    classes: list[Any]
    codes: np.ndarray
    probabilities: np.ndarray

    @property
    def columns(self) -> list[int]:
        """The classes that are ranked against the rest: the positive one of two, else every one."""
        return [1] if len(self.classes) == 2 else list(range(len(self.classes)))

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class (int [N]); of equals the first, so P(positive) must exceed 0.5."""
        return self.probabilities.argmax(axis=1)

    @property
    def one_hot(self) -> np.ndarray:
        """The truth as 0 and 1 (int [N, C])."""
        return np.eye(len(self.classes), dtype=int)[self.codes]

    @classmethod
    def read(cls, y_true: Any, y_pred: Any) -> Self:
        """Check labels and probabilities.

        Args:
            y_true: N labels: 0/1, booleans, strings, or anything else that can be sorted.
            y_pred: For two classes P(the class sorted last), [N]; for C > 2 [N, C], columns in sorted order.

        Raises:
            EvaluationError: A label is missing, only one class occurs, or y_pred holds no probabilities for it.
        """
        classes, codes = inputs.labels(y_true)
        if len(classes) == 1:
            raise EvaluationError(
                f"Scores need rows of at least two classes, and all {len(codes)} rows are of class "
                f"{classes[0]!r}. Take a larger split, or split stratified by the label."
            )
        given = inputs.numbers(y_pred, "y_pred", ndim=(1, 2))
        inputs.same_length(codes, given)
        wanted = (len(codes),) if len(classes) == 2 else (len(codes), len(classes))
        if given.shape != wanted:
            names = ", ".join(repr(name) for name in classes[:10]) + (", ..." if len(classes) > 10 else "")
            form = (
                f"P({classes[1]!r}), shape"
                if len(classes) == 2
                else "a column for each, in this order: shape"
            )
            raise EvaluationError(
                f"y_pred has shape {given.shape}, and y_true the {len(classes)} classes {names}. "
                f"Give {form} {wanted}. A class of the training split that is missing here "
                "cannot be scored: split stratified by the label."
            )
        outside = np.any(((given < 0) | (given > 1)).reshape(len(given), -1), axis=1)
        if outside.any():
            raise EvaluationError(
                f"y_pred is no probability in {inputs.bad_rows(outside)}: values run from {given.min():.4g} to "
                f"{given.max():.4g}. Scores of a network need a sigmoid (two classes) or softmax first."
            )
        if given.ndim == 1:
            return cls(classes, codes, np.column_stack([1 - given, given]))
        sums = given.sum(axis=1)
        off = np.abs(sums - 1) > SUM_TOLERANCE
        if off.any():
            raise EvaluationError(
                f"Probabilities do not sum to 1 in {inputs.bad_rows(off)}; the first sums to {sums[off][0]:.4g}."
            )
        return cls(classes, codes, given / sums[:, None])
