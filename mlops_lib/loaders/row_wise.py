"""Checks that ``data.prepare`` makes each row from one row of the source,
so that it may travel with the model.

The check runs the function on rows alone, in halves and in another order, and compares all values exactly.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.schema import Column
from mlops_lib.columns.source_rows import typed
from mlops_lib.columns.text import is_missing, text_of
from mlops_lib.loaders.row_checks import Prepare

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are prepared in halves and in another order; of them, those prepared alone;
#: rows of one part of the source.
SAMPLE_ROWS, LONE_ROWS, PART_ROWS = 2_000, 50, 50_000
#: Least parts of the source: a small one is divided too.
MIN_PARTS = 17


@dataclass(frozen=True)
class Difference:
    """One value that depends on more than its row.

    Attributes:
        column: Its column.
        row: Its row in the rows of the source.
        value, other: The value among all rows, and the other one.
    """

    column: str
    row: int
    value: Any
    other: Any


@dataclass(frozen=True)
class FeaturesOf:
    """Rows of the source -> the features, with the types of the dataset. Copies the rows,
    which `prepare` may change.

    Attributes:
        prepare: ``data.prepare``.
        features: The columns of the dataset that it makes.
    """

    prepare: Prepare
    features: Sequence[Column]

    def __call__(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        made = self.prepare(rows.reset_index(drop=True).copy())
        return typed(made, self.features, "what it returned")


def sample(frame: "pd.DataFrame", rows: int) -> "pd.DataFrame":
    """The rows of a frame, or some of them by chance and those of `gaps`, in order.

    By chance, since of rows that repeat, every n-th may be the same.
    """
    if len(frame) <= rows:
        return frame
    some = frame.sample(rows, random_state=0).index
    return frame.loc[some.union(frame.index[gaps(frame)])]


def gaps(frame: "pd.DataFrame") -> list[int]:
    """For each column, the first row without its value: a few such rows may be filled from all others."""
    found = (np.flatnonzero(frame[name].isna()) for name in frame.columns)
    return sorted({int(rows[0]) for rows in found if len(rows)})


def reason(features_of: FeaturesOf, frame: "pd.DataFrame", limit_s: float = math.inf) -> str:
    """Why ``data.prepare`` is not row-wise on these rows; "" if it is.

    Args:
        features_of: Makes the features.
        frame: Rows of the source.
        limit_s: No further part of the check begins after this time.
    """
    began = time.monotonic()
    try:
        whole = features_of(frame)
    except Exception as error:  # the user's own code
        return f"it fails on {len(frame):,} rows of the source: {type(error).__name__}: {error}"
    if len(whole) != len(frame):
        return _other_rows(len(whole), len(frame))
    for how, rows in _parts(frame):
        try:
            made = features_of(frame.iloc[rows])
        except Exception as error:  # the user's own code
            return f"it fails on {how}: {type(error).__name__}: {error}"
        if len(made) != len(rows):
            return f"it returned {len(made):,} rows for {how}"
        if found := difference(whole, made, rows):
            at = f"row {frame.index[found.row]} (counted from 0)"
            return (
                f"it looks at other rows, or at their order: column {found.column!r} of {at} is {found.value!r} among "
                f"{len(frame):,} rows, and {found.other!r} in {how}"
            )
        if time.monotonic() - began > limit_s:
            break
    return ""


def difference(whole: "pd.DataFrame", made: "pd.DataFrame", rows: "np.ndarray | range") -> Difference | None:
    """The first value of `made` that is not exactly the value of its row in `whole`; None if all are.

    Args:
        rows: The row in `whole` of each row of `made`.
    """
    for name in whole.columns:
        wanted, found = whole[name].to_numpy()[rows], made[name].to_numpy()
        for at in np.flatnonzero(~_same(wanted, found)).tolist():
            return Difference(name, int(rows[at]), _plain(wanted[at]), _plain(found[at]))
    return None


def unneeded(features_of: FeaturesOf, frame: "pd.DataFrame") -> tuple[list[str], dict[str, Any]]:
    """The columns of the source that no feature depends on: those that ``data.prepare`` does not read,
    and a value for the others.

    The label is one of the others, where `data.prepare` makes it: a row of a request does not have it.
    """
    whole, every = features_of(frame), np.arange(len(frame))
    unread: list[str] = []
    constants: dict[str, Any] = {}
    for name in frame.columns:
        known = frame[name][~frame[name].map(is_missing)]
        trials: list[Callable[[], pd.DataFrame]] = [partial(frame.drop, columns=name)]
        if known.map(text_of).nunique() > 1:
            shuffled = frame[name].sample(frac=1, random_state=0).set_axis(frame.index)
            trials.append(partial(frame.assign, **{name: shuffled}))
        for number, trial in enumerate(trials):
            try:
                made = features_of(trial())
            except Exception:  # noqa: S112 - it reads the column
                continue
            if len(made) == len(whole) and not difference(whole, made, every):
                if number:
                    constants[name] = known.iloc[0]
                else:
                    unread.append(name)
                break
    return unread, constants


def reason_in_parts(
    features_of: FeaturesOf, as_served: Prepare, frame: "pd.DataFrame", parts: int = 0
) -> str:
    """Why the features of some row of the source differ when it is prepared as the service does;
    "" if none do.

    Args:
        features_of: Makes the features.
        as_served: The same, as the service prepares rows.
        frame: Rows of the source.
        parts: Number of parts; 0: by the rows. Rows beside each other are in different parts.
    """
    whole = features_of(frame)
    if len(whole) != len(frame):
        return _other_rows(len(whole), len(frame))
    count = parts or max(MIN_PARTS, math.ceil(len(frame) / PART_ROWS))
    for first in range(min(count, len(frame))):
        rows = np.arange(first, len(frame), count)
        try:
            made = as_served(frame.iloc[rows].reset_index(drop=True))
        except Exception as error:  # the user's own code
            return f"it fails in the service: {type(error).__name__}: {error}"
        if found := difference(whole, made, rows):
            return (
                f"column {found.column!r} of row {frame.index[found.row]} (counted from 0) is {found.value!r} among all "
                f"rows, and {found.other!r} in the service"
            )
    return ""


def _other_rows(found: int, wanted: int) -> str:
    return f"it {'drops' if found < wanted else 'adds'} rows: it returned {found:,} rows for {wanted:,}"


def _parts(frame: "pd.DataFrame") -> "Iterator[tuple[str, np.ndarray]]":
    """Ways to prepare the same rows, each with its name: what it is called in an error."""
    every = np.arange(len(frame))
    yield "a second run on the same rows", every
    yield "another order of the rows", np.random.default_rng(0).permutation(every)
    if half := len(frame) // 2:
        yield "the first half of the rows", every[:half]
        yield "the second half of the rows", every[half:]
    lone = every
    if len(frame) > LONE_ROWS:
        some = np.random.default_rng(1).choice(every, LONE_ROWS, replace=False)
        lone = np.union1d(some, gaps(frame)).astype(int)
    for row in lone:
        yield "a row alone", np.array([row])


def _same(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which values are equal to the last bit; a missing value equals another."""
    import pandas as pd

    if wanted.dtype != object and found.dtype == wanted.dtype:
        return (wanted == found) | (pd.isna(wanted) & pd.isna(found))
    pairs = zip(wanted.tolist(), found.tolist(), strict=True)
    return np.array([_equal(*pair) for pair in pairs], dtype=bool)


def _equal(one: Any, other: Any) -> bool:
    if is_missing(one) or is_missing(other):
        return is_missing(one) and is_missing(other)
    return type(one) is type(other) and text_of(one) == text_of(other)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.number | np.bool_) else value
