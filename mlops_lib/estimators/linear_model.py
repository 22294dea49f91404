"""Fit the linear model on its basis, with the penalty that held-out rows choose."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.estimators import table_model

#: Penalties in order, the strongest first; the search ends when held-out rows are worse off.
RIDGE = tuple(np.logspace(4, -1, 11))
LOGISTIC = (0.003, 0.03, 0.3, 3.0, 30.0)
#: Rows that a fit takes at most, evenly chosen; with more than eight classes fewer.
MAX_ROWS = 50_000


def penalties(n_classes: int) -> tuple[float, ...]:
    """Values of the penalty to try."""
    return LOGISTIC if n_classes else RIDGE


def most_rows(n_classes: int) -> int:
    """Rows that a fit takes at most."""
    return int(MAX_ROWS / max(1.0, n_classes / 8))


class Linear(NamedTuple):
    """A fitted linear model: coefficients [scores, columns of the basis] and intercept [scores]."""

    coefficients: np.ndarray
    intercept: np.ndarray

    def of_basis(self, basis: np.ndarray) -> np.ndarray:
        """Scores [rows, scores]."""
        return basis @ self.coefficients.T + self.intercept

    def scores(self, expanded: np.ndarray, segments: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores [rows, scores] of expanded rows, part by part since the basis is several times as wide."""
        starts = range(0, len(expanded), MAX_ROWS)
        return np.concatenate(
            [self.of_basis(table_model.segments(expanded[at : at + MAX_ROWS], segments)) for at in starts]
        )


def fit(basis: np.ndarray, labels: np.ndarray, weights: np.ndarray, n_classes: int, penalty: float) -> Linear:
    """Fit one model.

    Args:
        basis: [rows, columns].
        labels: Class codes, or standardised values.
        weights: [rows].
        n_classes: 0: regression.
        penalty: Ridge's alpha, or the inverse penalty C of a logistic regression.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    model: Any = LogisticRegression(C=penalty, max_iter=200) if n_classes else Ridge(alpha=penalty)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(basis, labels, sample_weight=weights)
    return Linear(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_))
