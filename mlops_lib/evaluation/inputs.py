"""Checks of labels, numbers and feature tables, with errors that name the bad rows."""

from typing import Any

import numpy as np
import pandas as pd

from mlops_lib.errors import EvaluationError

SHOWN = 5


def bad_rows(bad: np.ndarray) -> str:
    """The positions of the first bad rows: 'row 3', or 'rows 3, 4, 8, 9, 11 and 20 more'."""
    rows = np.flatnonzero(bad)
    text = ", ".join(str(row) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {text}{more} (counted from 0)"


def labels(values: Any, what: str = "y_true") -> tuple[list[Any], np.ndarray]:
    """Return the sorted classes (C) and, for each of the N labels, its position among them (int [N])."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":  # as objects, numbers would take four times the memory
        array = np.asarray(values, dtype=object)
    if array.ndim != 1 or not len(array):
        raise EvaluationError(f"{what} has shape {array.shape}. Give one label a row, and at least one row.")
    codes, found = pd.factorize(array)
    missing = codes < 0
    if missing.any():
        raise EvaluationError(f"{what} has no label in {bad_rows(missing)}. Label or drop them.")
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


def same_length(truth: np.ndarray, predicted: np.ndarray) -> None:
    """Raise EvaluationError unless there is one prediction for each true value."""
    if len(truth) != len(predicted):
        raise EvaluationError(f"y_true has {len(truth)} rows and y_pred {len(predicted)}: they must match.")


def feature_table(values: Any, what: str, columns: list[Any] | None = None) -> pd.DataFrame:
    """Return numeric features as float64 columns, infinities as missing, in the order of `columns` if given.

    Raises:
        EvaluationError: A column is missing or is not numeric; the message names it.
    """
    table = pd.DataFrame(values)
    lacking = [str(name) for name in columns or [] if name not in table.columns]
    if lacking:
        raise EvaluationError(f"{what} lacks the columns {', '.join(lacking)}, which the training rows have.")
    table = table if columns is None else table[columns]
    odd = [
        f"{name} ({kind})" for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)
    ]
    if odd:
        raise EvaluationError(
            f"{what} has columns that are not numbers: {', '.join(odd)}. Encode them, or leave out the "
            "baselines that learn from features."
        )
    array = table.to_numpy(dtype=float, na_value=np.nan)
    return pd.DataFrame(np.where(np.isfinite(array), array, np.nan), columns=table.columns)
