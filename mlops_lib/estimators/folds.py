"""Which rows the learners of ``auto`` learn from, and which are held out to choose by."""

import numpy as np

#: Tables with more rows are not cross-validated; with more than four classes, already smaller ones.
MAX_CROSS_VALIDATED = 20_000
FOLDS = 5
#: Rows of each class that a sample has at the least, where there are as many.
CLASS_ROWS = 20

Split = tuple[np.ndarray, np.ndarray]


def splits_of(
    labels: np.ndarray,
    n_classes: int,
    held_out: np.ndarray | None,
    groups: np.ndarray | None,
    seed: int,
    in_time: bool = False,
) -> list[Split]:
    """Row numbers to learn from and row numbers held out, once or for each fold.

    Args:
        in_time: The rows of `held_out` are later than the others, so they are held out in a small table too.
    """
    rows = len(labels)
    later = in_time and held_out is not None and held_out.any()
    if later or rows * max(1.0, n_classes / 4) > MAX_CROSS_VALIDATED:
        if held_out is None or not held_out.any():
            held_out = np.random.default_rng(seed).random(rows) < 0.15
        return [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    fold = _folds(labels, n_classes, groups, seed)
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(fold.max() + 1)]


def sample(labels: np.ndarray, n_classes: int, most: int) -> np.ndarray:
    """Row numbers of about `most` rows at the most, evenly chosen; a rare class keeps `CLASS_ROWS` rows."""
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[:: -(-len(labels) // most) or 1] = True
    for one in range(n_classes):
        members = np.flatnonzero(labels == one)
        if chosen[members].sum() < CLASS_ROWS:
            chosen[members[:CLASS_ROWS]] = True
    return np.flatnonzero(chosen)


def _folds(labels: np.ndarray, n_classes: int, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """Fold of each row; -1: held out in none, since it is the only one of its class."""
    random = np.random.default_rng(seed)
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        if group.max() + 1 < len(labels):
            return (random.permutation(group.max() + 1) % min(FOLDS, group.max() + 1))[group]
    fold = np.full(len(labels), -1)
    start = 0
    for one in range(max(n_classes, 1)):
        members = np.flatnonzero(labels == one) if n_classes else np.arange(len(labels))
        if len(members) > 1:
            fold[random.permutation(members)] = (start + np.arange(len(members))) % FOLDS
            start += len(members)
    return fold if fold.max() > 0 else np.arange(len(labels)) % FOLDS
