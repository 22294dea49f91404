"""A model's predictions as plain lists and numbers: one a row, every number finite."""

import math
from http import HTTPStatus
from typing import Any

import numpy as np

from mlops_lib.errors import ModelError
from serving.inference.json_values import builtins
from serving.web.problems import Problem

#: Code of the problem for predictions that are not one a row.
WRONG_COUNT = "wrong_prediction_count"


def as_list(predictions: Any, rows: int) -> tuple[list[Any], list[int]]:
    """`checked` predictions, as a list."""
    found, bad = checked(predictions, rows)
    return found if isinstance(found, list) else found.tolist(), bad


def checked(predictions: Any, rows: int) -> tuple[np.ndarray | list[Any], list[int]]:
    """Predictions as an array of numbers or a list, and the rows (counted from 0)
    whose prediction is not finite.

    Args:
        predictions: An array [rows, ...], a list, a Series, or a dict of these, which becomes a dict a row.
        rows: How many went in.

    Raises:
        Problem: 500 when there are not as many predictions as rows.
        ModelError: A text has half of a surrogate pair.
    """
    if isinstance(predictions, dict):
        predictions = _by_row(predictions, rows)
    single = isinstance(predictions, str | bytes | dict) or not hasattr(predictions, "__len__")
    count = -1 if single or getattr(predictions, "ndim", 1) == 0 else len(predictions)
    if count != rows:
        said = f"{count} predictions" if count >= 0 else f"a single {type(predictions).__name__}"
        detail = f"The model gave {said} for {rows} rows. Only /invocations answers with any number of predictions."
        raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, WRONG_COUNT, detail)
    if hasattr(predictions, "to_numpy"):
        predictions = predictions.to_numpy()
    if isinstance(predictions, np.ma.MaskedArray):  # its data has numbers under the mask
        predictions = np.ma.filled(predictions.astype(object), np.nan)
    if isinstance(predictions, np.ndarray) and predictions.dtype.kind in "biu":
        return predictions, []
    if isinstance(predictions, np.ndarray) and predictions.dtype.kind == "f":
        if predictions.itemsize > 8:  # JSON's numbers, and Python's, have 64 bits
            with np.errstate(over="ignore"):  # an infinity is found below
                predictions = predictions.astype(np.float64)
        finite = np.isfinite(predictions)
        bad = [] if finite.all() else np.flatnonzero(~finite.reshape(rows, -1).all(axis=1)).tolist()
        return predictions, bad
    values = list(predictions)
    return values, [number for number, value in enumerate(values) if not _finite(value)]


def require_finite(bad: list[int], start: int, rows: int, first: int = 0) -> None:
    """Raise a Problem when the prediction of one of a caller's rows is not finite.

    Args:
        bad: As `as_list` gave them.
        start: Where in the batch the caller's rows begin.
        rows: How many they are.
        first: Which of the caller's rows that is: one with more than a batch's worth is served in several.

    Raises:
        Problem: 500; JSON has no NaN, and null would pass for an answer.
    """
    if mine := [number - start + first for number in bad if start <= number < start + rows]:
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "non_finite_prediction",
            f"The model's prediction is not a finite number for rows {mine[:10]}, counted from 0.",
        )


def _by_row(named: dict[str, Any], rows: int) -> Any:
    """A dict of columns as one dict a row. A dict whose values do not have one item
    a row is returned as it is."""
    items = [value.tolist() if hasattr(value, "tolist") else value for value in named.values()]
    if not all(isinstance(value, list) and len(value) == rows for value in items):
        return named
    return [dict(zip(named, row, strict=True)) for row in zip(*items, strict=True)]


def require_text(text: str) -> None:
    """Raise ModelError for text that no JSON can carry."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = text[error.start]
            raise ModelError(
                f"its text has half of a surrogate pair, {half!r}, which is no character."
            ) from None


def _finite(value: Any) -> bool:
    """Whether all numbers of a prediction are finite; pandas' NA is not.

    Raises:
        ModelError: For its texts, as of `require_text`; or for an iterator, which has values for one reader.
    """
    if isinstance(value, str):
        require_text(value)
        return True
    if isinstance(value, float | np.floating):
        return math.isfinite(value)
    if isinstance(value, np.ma.MaskedArray):
        return not np.ma.is_masked(value) and _finite(value.data)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OU":
            return _finite(value.tolist())
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(_finite, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    if value is None or isinstance(value, int | np.integer | np.bool_ | bytes):
        return True
    if hasattr(value, "__next__"):
        raise ModelError(f"its prediction has a {type(value).__name__}; it must be a list or one value.")
    return type(value).__name__ != "NAType" and _finite(builtins(value))
