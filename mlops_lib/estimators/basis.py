"""Fit the expansion of encoded rows: which categories get a column, and the mean label of the others."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

#: A column with more codes than this is described by the mean label of each code.
MAX_COLUMNS = 30
#: Rows that the mean of all rows counts as, beside those of a code.
PRIOR_ROWS = 20.0
#: Parts of a number's range, with as many rows in each.
KNOTS = 8
#: Larger numbers have no square.
MAX_SQUARED = 1e150


def fit_expansion(
    matrix: np.ndarray, targets: np.ndarray, weights: np.ndarray, codes: Sequence[int]
) -> dict[str, np.ndarray]:
    """Arrays for `mlops_lib.estimators.table_model.expand`.

    Args:
        matrix: Encoded rows [rows, outputs].
        targets: What the mean is taken of [rows, scores].
        weights: [rows].
        codes: Codes of each output; 0: a number.
    """
    hot: list[tuple[int, int]] = []
    sources, tables = [], []
    for column, count in enumerate(codes):
        if 0 < count <= MAX_COLUMNS:
            present = np.unique(matrix[:, column]).astype(int).tolist()
            hot += [(column, code) for code in (present[1:] if len(present) == 2 else present)]
        elif count:
            sources.append(column)
            tables.append(means(matrix[:, column].astype(np.intp), count, targets, weights))
    pairs = np.array(hot, dtype=np.intp).reshape(-1, 2)
    return {
        "numbers": np.flatnonzero((np.array(codes) == 0) & ~np.isnan(matrix).all(0)),
        "hot_source": pairs[:, 0],
        "hot_code": pairs[:, 1].astype(np.float64),
        "mean_source": np.array(sources, dtype=np.intp),
        "mean_start": np.cumsum([0, *map(len, tables)]),
        "mean_table": np.concatenate(tables) if tables else np.empty((0, targets.shape[1])),
    }


def means(codes: np.ndarray, count: int, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean target of each code, drawn towards the mean of all rows where a code has few; [count, scores]."""
    overall = np.average(targets, axis=0, weights=weights)
    rows = np.bincount(codes, weights, minlength=count)[:, None]
    totals = [np.bincount(codes, weights * target, minlength=count) for target in targets.T]
    return (np.stack(totals, axis=1) + PRIOR_ROWS * overall) / (rows + PRIOR_ROWS)


def cross_fitted(
    expanded: np.ndarray,
    matrix: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    seed: int,
) -> np.ndarray:
    """`expanded` of the rows of the fit, where a row's own label has no part in its means."""
    if not len(arrays["mean_source"]):
        return expanded
    part = np.random.default_rng(seed).permutation(len(matrix)) % 5
    at = len(arrays["numbers"]) + len(arrays["hot_source"])
    for number, column in enumerate(arrays["mean_source"]):
        codes = matrix[:, column].astype(np.intp)
        count = int(arrays["mean_start"][number + 1] - arrays["mean_start"][number])
        for one in range(5):
            own, others = part == one, part != one
            table = means(codes[others], count, targets[others], weights[others])
            expanded[own, at : at + targets.shape[1]] = table[codes[own]]
        at += targets.shape[1]
    return expanded


def fit_segments(expanded: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays for `mlops_lib.estimators.table_model.segments`; segments lie between quantiles of the rows."""
    first_hot = len(arrays["numbers"])
    hot = range(first_hot, first_hot + len(arrays["hot_source"]))
    fill, found, gaps = np.zeros(expanded.shape[1]), [], []
    for column in range(expanded.shape[1]):
        if column in hot:
            continue
        values = expanded[:, column]
        if np.isnan(values).any():
            gaps.append(column)
        known = values[np.abs(values) < MAX_SQUARED]  # without gaps and infinite numbers
        if not len(known) or known.min() == known.max():
            continue
        fill[column] = known.mean()
        low, width = known.min(), known.max() - known.min()
        found.append((column, low, width, width / known.std()))
        knots = np.unique(np.quantile(known, np.linspace(0, 1, KNOTS + 1)))
        if len(knots) > 2:
            found += [(column, a, b - a, 1.0) for a, b in pairwise(knots)]
    table = np.array(found, dtype=np.float64).reshape(-1, 4)
    return {
        "fill": fill,
        "segment_source": table[:, 0].astype(np.intp),
        "segment_low": table[:, 1],
        "segment_width": table[:, 2],
        "segment_gain": table[:, 3],
        "gap_source": np.array(gaps, dtype=np.intp),
        "kept_source": np.array(hot, dtype=np.intp),
    }
