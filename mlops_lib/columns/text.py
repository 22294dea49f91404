"""The one text of a key or a category, whatever type its file was read as."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np


def text_of(value: Any) -> str:
    """The text that keys and categories are compared and hashed by.

    A number has the same text in every type: 7, 7.0, ``Decimal("7.00")`` and NumPy's integers are "7".
    Text is itself: "007" and "1E2" stay apart from 7 and 100, and no letter is normalised.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return repr(value)
        return str(int(value)) if value == int(value) else f"{Decimal(repr(value)):f}"
    if isinstance(value, Decimal):
        return str(int(value)) if value.is_finite() and value == int(value) else f"{value.normalize():f}"
    if isinstance(value, datetime):
        return (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day).isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict | list | tuple | np.ndarray):
        return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return str(value)


def _plain(value: Any) -> Any:
    """A struct, map or list as JSON has it. Arrow gives a map as a list of pairs."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if (
        isinstance(value, list)
        and value
        and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
    ):
        value = dict(value)
    if isinstance(value, dict):
        return {text_of(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | Decimal | np.number):
        number = float(value)
        if math.isnan(number):  # the gap of an array of NumPy
            return None
        return int(value) if number.is_integer() else number
    return value if value is None or isinstance(value, str | bool | int) else text_of(value)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    if isinstance(value, str | list | dict | tuple | np.ndarray):
        return False
    try:
        return bool(value != value)  # noqa: PLR0124 - true of NaN and NaT
    except (TypeError, ArithmeticError):  # pandas.NA, and a signalling NaN of decimals
        return True
