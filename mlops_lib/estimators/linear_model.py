"""Fit the linear model on its basis, with the penalty that held-out rows choose."""

from typing import Any

import numpy as np

#: Penalties in order, the strongest first; the search ends when held-out rows are worse off.
RIDGE = tuple(np.logspace(4, -1, 11))
LOGISTIC = (0.003, 0.03, 0.3, 3.0, 30.0)
#: Rows that a fit takes at most, evenly chosen.
MAX_ROWS = 50_000


def penalties(n_classes: int) -> tuple[float, ...]:
    """Values of the penalty to try."""
    return LOGISTIC if n_classes else RIDGE


def fit(
    basis: np.ndarray, labels: np.ndarray, weights: np.ndarray, n_classes: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [scores, columns] and intercept [scores].

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

    step = -(-len(basis) // MAX_ROWS)
    model: Any = LogisticRegression(C=penalty, max_iter=200) if n_classes else Ridge(alpha=penalty)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(basis[::step], labels[::step], sample_weight=weights[::step])
    return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
