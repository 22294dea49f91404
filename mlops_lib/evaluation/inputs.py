"""Checks of labels, numbers and weights, with errors that name the bad rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_lib.errors import EvaluationError
from mlops_lib.wording import listed

SHOWN = 5


def bad_rows(bad: np.ndarray) -> str:
    """The positions of the first bad rows: 'row 3', or 'rows 3, 4, 8, 9, 11 and 20 more'."""
    rows = np.flatnonzero(bad)
    return f"row{'s' if len(rows) > 1 else ''} {listed(rows, SHOWN)} (counted from 0)"


def labels(values: Any, what: str = "y_true", classes: Sequence[Any] = ()) -> tuple[list[Any], np.ndarray]:
    """Return the classes and, for each of the N labels, its position among them (int [N]).

    Args:
        values: N labels: text, booleans or numbers. 1, 1.0 and True are one label, "1" is another.
        what: Name of the labels in an error.
        classes: All classes; a label that is none of them gets -1. Empty: the distinct labels, sorted.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":  # as objects, numbers would take four times the memory
        array = np.asarray(values, dtype=object)
    if array.ndim != 1 or not len(array):
        raise EvaluationError(f"{what} has shape {array.shape}. Give one label a row, and at least one row.")
    codes, found = pd.factorize(array)
    missing = codes < 0
    if missing.any():
        raise EvaluationError(f"{what} has no label in {bad_rows(missing)}. Label or drop them.")
    if len(classes):
        position = {name: place for place, name in enumerate(classes)}
        return list(classes), np.array([position.get(name, -1) for name in found.tolist()])[codes]
    try:
        order = np.argsort(found)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in array})
        raise EvaluationError(f"{what} mixes {' and '.join(kinds)}. Give all labels as one type.") from error
    return found[order].tolist(), np.argsort(order)[codes]


def numbers(values: Any, what: str, ndim: tuple[int, ...] = (1,)) -> np.ndarray:
    """Return `values` as float64, of one of the dimensions `ndim`, with every number finite."""
    if isinstance(values, pd.Series | pd.DataFrame):
        values = values.to_numpy(dtype=object, na_value=np.nan)  # asarray cannot convert pandas.NA
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{what} cannot be read as numbers: {error}.") from error
    if array.ndim not in ndim or not array.size:
        shapes = " or ".join("[N, C]" if n == 2 else "[N]" for n in ndim)
        raise EvaluationError(f"{what} has shape {array.shape}. Give shape {shapes} with at least one row.")
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        first = array[np.flatnonzero(bad)[0]].tolist()
        raise EvaluationError(f"{what} is not finite in {bad_rows(bad)}; the first is {first}.")
    return array


def weights(values: Any, rows: int) -> np.ndarray:
    """Return the weights of N rows as float64 [N]; EvaluationError unless none is
    negative and some are positive."""
    array = numbers(values, "The weights")
    if len(array) != rows:
        raise EvaluationError(f"There are {len(array)} weights for {rows} rows: they must match.")
    if (negative := array < 0).any():
        raise EvaluationError(f"The weight is negative in {bad_rows(negative)}. Weights are 0 or more.")
    if not array.any():
        raise EvaluationError(f"All {rows} weights are 0, so no row counts.")
    return array


def same_length(truth: np.ndarray, predicted: np.ndarray) -> None:
    """Raise EvaluationError unless there is one prediction for each true value."""
    if len(truth) != len(predicted):
        raise EvaluationError(f"y_true has {len(truth)} rows and y_pred {len(predicted)}: they must match.")
