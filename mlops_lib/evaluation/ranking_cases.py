"""Relevance and scores of the rows of groups, checked, in the form that metrics and
figures of a ranking take."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs


class RankingCases(NamedTuple):
    """N rows of G groups. The rows of a group are ranked by their score, the highest first.

    Attributes:
        truth: Relevance of each row, 0 or more, float64 [N]. A row above 0 is relevant.
        predicted: Score of each row, float64 [N].
        groups: Number of each row's group, int [N].
        names: Key of each group, G.
        k: Places that the metrics ``..._at_k`` look at.
        weights: None; every group counts the same.
    """

    truth: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray
    names: Sequence[Any]
    k: int = 10
    weights: None = None

    @classmethod
    def read(cls, y_true: Any, y_pred: Any, keys: Sequence[Any], k: int = 10) -> Self:
        """Check relevance and scores.

        Args:
            y_true, y_pred: N numbers each.
            keys: The group of each row, N.
            k: See the class.

        Raises:
            EvaluationError: A number is missing, a relevance is negative,
                or there is not one score or group for each row.
        """
        truth, predicted = inputs.numbers(y_true, "y_true"), inputs.numbers(y_pred, "y_pred", ndim=(1, 2))
        if predicted.ndim == 2:
            raise EvaluationError(
                f"The model gives {predicted.shape[1]} numbers for each row, and a ranking takes one score. Take a regressor, "
                "or a classifier only where the relevance has two values."
            )
        inputs.same_length(truth, predicted)
        if (negative := truth < 0).any():
            raise EvaluationError(
                f"The relevance is negative in {inputs.bad_rows(negative)}. It is 0 for a row without use, and above 0 "
                "for a relevant one."
            )
        if len(keys) != len(truth):
            raise EvaluationError(f"There are {len(keys)} groups for {len(truth)} rows: they must match.")
        groups, names = pd.factorize(np.asarray(keys, dtype=object))
        return cls(truth, predicted, groups, names, k)

    def take(self, rows: np.ndarray) -> Self:
        """The rows at these positions, int [M]. A group that comes several times is several groups.

        Raises:
            EvaluationError: They have a part of a group.
        """
        size, taken = (
            np.bincount(groups, minlength=len(self.names)) for groups in (self.groups, self.groups[rows])
        )
        if (cut := taken % np.maximum(size, 1) > 0).any():
            at = int(cut.argmax())
            raise EvaluationError(
                f"{int(cut.sum())} groups have rows inside the slice and outside it; the first is {self.names[at]!r}, with "
                f"{taken[at]} of its {size[at]} rows inside. A part of a group is no ranking: in evaluation.gate.slices, name "
                "a column with one value in each group."
            )
        copies = pd.Series(rows).groupby(rows).cumcount().to_numpy()
        pairs = self.groups[rows] * (copies.max(initial=0) + 1) + copies
        found, groups = np.unique(pairs, return_inverse=True)
        names = [self.names[pair // (copies.max(initial=0) + 1)] for pair in found]
        return self._replace(
            truth=self.truth[rows], predicted=self.predicted[rows], groups=groups, names=names
        )

    @property
    def ranked(self) -> np.ndarray:
        """The groups that can be ranked: two rows or more, and a relevant one; bool [G]."""
        relevant = np.bincount(self.groups, self.truth > 0, len(self.names))
        return (np.bincount(self.groups, minlength=len(self.names)) > 1) & (relevant > 0)

    @property
    def places(self) -> np.ndarray:
        """Mean place of each row in its group, from 1; rows with equal scores share one. float64 [N]."""
        scores = pd.Series(-self.predicted).groupby(self.groups)
        return scores.rank(method="average").to_numpy()

    def changed(self, other: "RankingCases", metric: str) -> np.ndarray:
        """The rows of groups that the two rank differently, bool [N]."""
        moved = np.bincount(self.groups, self.places != other.places, len(self.names)) > 0
        return moved[self.groups]
