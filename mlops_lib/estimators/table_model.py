"""Predict from the arrays of a fitted table model, with numpy alone.

Every row is computed by itself, with no matrix product, so that its prediction has the
same bits alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Comparisons in memory at once while many rows are predicted.
MAX_COMPARISONS = 2_000_000


class TableModel:
    """A weighted sum of boosted trees and a piecewise-linear model.

    Args:
        arrays: Made by `mlops_lib.estimators.auto`; all of them are numbers.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self.n_classes = int(arrays["n_classes"])
        self._chunk = max(MAX_COMPARISONS // max(arrays["tree_feature"].size, 1), 1)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Predictions for encoded rows.

        Args:
            matrix: float64 [rows, outputs of the encoder]; NaN for a missing number.

        Returns:
            P(second class) [rows] for two classes, probabilities [rows, classes] for more,
            values [rows] for regression.
        """
        if len(matrix) <= self._chunk:
            return self._predict(matrix)
        starts = range(0, len(matrix), self._chunk)
        return np.concatenate([self._predict(matrix[at : at + self._chunk]) for at in starts])

    def _predict(self, matrix: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            raw = self.raw(matrix)
            if self.n_classes > 2:
                powers = np.exp(raw - raw.max(1, keepdims=True))
                return powers / powers.sum(1, keepdims=True)
            if self.n_classes:
                return 1 / (1 + np.exp(-raw[:, 0]))
            return raw[:, 0] * self.arrays["label_scale"] + self.arrays["label_mean"]

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """The sum before the link; float64 [rows, scores], one score for regression and for two classes."""
        expanded = expand(matrix, self.arrays)
        total = np.repeat(self.arrays["intercept"], len(matrix), axis=0)
        if self.arrays["coefficients"].size:
            total = linear(expanded, self.arrays)
        return total + trees(expanded, self.arrays) if self.arrays["tree_feature"].size else total


def expand(matrix: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Numbers as they are, one column for each frequent category, the mean label for the rest; [rows,
    columns]."""
    numbers, source, code = arrays["numbers"], arrays["hot_source"], arrays["hot_code"]
    finite = np.minimum(np.maximum(matrix.take(numbers, axis=1), -LARGEST), LARGEST)
    parts = [finite, matrix.take(source, axis=1) == code]
    for at, column in enumerate(arrays["mean_source"]):
        table = arrays["mean_table"][arrays["mean_start"][at] : arrays["mean_start"][at + 1]]
        parts.append(table.take(matrix[:, column].astype(np.intp), axis=0))
    return np.concatenate(parts, axis=1)


def segments(expanded: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The basis of the linear model: position within each segment of a number, gaps, and categories."""
    filled = np.where(np.isnan(expanded), arrays["fill"], expanded)
    within = (filled.take(arrays["segment_source"], axis=1) - arrays["segment_low"]) / arrays["segment_width"]
    within = np.minimum(np.maximum(within, 0.0), 1.0) * arrays["segment_gain"]
    gaps = np.isnan(expanded.take(arrays["gap_source"], axis=1))
    return np.concatenate([within, gaps, filled.take(arrays["kept_source"], axis=1)], axis=1)


def linear(expanded: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores of the linear model; [rows, scores]."""
    basis = segments(expanded, arrays)
    return (basis[:, None, :] * arrays["coefficients"]).sum(-1) + arrays["intercept"]


def trees(expanded: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores of the trees; [rows, scores].

    All comparisons of all trees are made at once (QuickScorer, Lucchese et al. 2015):
    each one that leads right rules out the leaves on its left, and the first leaf that remains is the row's.
    """
    missing = np.isnan(expanded)
    # A missing number is below all others for one half of the columns,
    # and above all others for the other half.
    both = np.concatenate([np.where(missing, -np.inf, expanded), np.where(missing, np.inf, expanded)], axis=1)
    right = both.take(arrays["tree_feature"], axis=1) > arrays["tree_threshold"]
    left = np.bitwise_and.reduceat(
        np.where(right, arrays["tree_mask"], ALL_LEAVES), arrays["tree_start"], axis=1
    )
    first = np.frexp((left & (~left + ONE)).astype(np.float64))[1] - 1
    values = arrays["tree_value"].take(first + arrays["leaf_start"])
    return values.reshape(len(expanded), arrays["intercept"].shape[-1], -1).sum(2)


#: One bit for each leaf of a tree, of which there are at most 32.
ALL_LEAVES, ONE = np.uint32(0xFFFFFFFF), np.uint32(1)
MAX_LEAVES = 31
#: Numbers beyond it, infinity among them, count as this number.
LARGEST = 1e300
