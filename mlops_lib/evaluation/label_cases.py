"""Truth and predictions of several labels, checked, in the form that metrics and figures take."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs
from mlops_lib.wording import listed


class LabelCases(NamedTuple):
    """N rows of L labels, truth and prediction of each as float64 [N, L].

    Attributes:
        names: The L labels, in the order of the columns.
        weights: Weight of each row, float64 [N]; None: all count the same.
    """

    names: list[str]
    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def read(
        cls, y_true: Any, y_pred: Any, names: Sequence[str] = (), weights: Any = None, binary: bool = False
    ) -> Self:
        """Check truth and predictions.

        Args:
            y_true, y_pred: [N, L].
            names: The labels; empty: their positions.
            weights: Weights of the N rows.
            binary: The truth is 0 and 1, and the predictions are probabilities of 1.

        Raises:
            EvaluationError: The shapes differ, a value is not finite, or with `binary` out of range.
        """
        truth, predicted = (
            inputs.numbers(values, what, ndim=(2,))
            for values, what in ((y_true, "y_true"), (y_pred, "y_pred"))
        )
        inputs.same_length(truth, predicted)
        names = list(names) or [str(place) for place in range(truth.shape[1])]
        for values, what in ((truth, "y_true"), (predicted, "y_pred")):
            if values.shape[1] != len(names):
                raise EvaluationError(
                    f"{what} has {values.shape[1]} columns for the {len(names)} labels {listed(names)}. Give one "
                    "column for each label, in this order."
                )
        if binary:
            _require(np.isin(truth, (0, 1)), truth, names, "y_true", "not 0 or 1")
            inside = (predicted >= 0) & (predicted <= 1)
            _require(inside, predicted, names, "y_pred", "no probability; scores need a sigmoid first")
        weighed = None if weights is None else inputs.weights(weights, len(truth))
        return cls(names, truth, predicted, weighed)

    def take(self, rows: np.ndarray) -> Self:
        """The rows at these positions, int [M]; a position may come several times."""
        return self._replace(
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    @property
    def weighed(self) -> np.ndarray:
        """The truth of the rows with weight, [rows, L]."""
        return self.truth if self.weights is None else self.truth[self.weights > 0]

    def column(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Truth and predictions of one label, each [N]."""
        return self.truth[:, place], self.predicted[:, place]


def _require(fine: np.ndarray, values: np.ndarray, names: Sequence[str], what: str, problem: str) -> None:
    if fine.all():
        return
    row, place = np.argwhere(~fine)[0]
    raise EvaluationError(
        f"{what} of label {names[place]!r} is {values[row, place]:g} in row {row} (counted from 0), {problem}."
    )
