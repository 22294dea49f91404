"""Rows of a table as the JSON that a caller of the service would send."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from .dates import microseconds
from .schema import LARGEST, Column, Schema
from .text import is_missing, text_of


def example_rows(frame: Any, schema: Schema) -> list[dict[str, Any]]:
    """The features of each row of a DataFrame, in the forms of JSON.
    The encoder makes the same numbers of them as of the frame.

    A missing value is None, a date or time is text in ISO form and in UTC,
    and a duration is a number of seconds. The file of an image is base64.
    """
    columns = {
        name: [json_value(value, column) for value in frame[name].tolist()]
        for name, column in schema.features.items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def json_value(value: Any, column: Column) -> Any:
    """A value in the form of JSON; see `example_rows`."""
    if isinstance(value, timedelta | np.timedelta64):
        value = None if is_missing(value) else float(np.timedelta64(value) / np.timedelta64(1, "s"))
    if is_missing(value):
        return None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if column.kind in ("array", "sequence"):
        return _numbers(value, column)
    if isinstance(value, date | np.datetime64):
        return text_of(np.datetime64(microseconds(value), "us"))
    if isinstance(value, time):
        return value.isoformat()
    if column.kind == "image" and isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, dict | list | tuple | np.ndarray):
        return json.loads(text_of(value))
    if column.kind in ("category", "text"):
        has_json = isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
        return _whole(value, column) if has_json else text_of(value)
    return value if isinstance(value, str) else _number(value, column)


def _numbers(values: Any, column: Column) -> Any:
    """Numbers in nested lists."""
    if isinstance(values, list | tuple | np.ndarray):
        return [_numbers(one, column) for one in values]
    return None if is_missing(values) else _number(values, column)


def _number(value: Any, column: Column) -> Any:
    """A number or boolean; an infinite number as the finite one that has the same encoding."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value if column.kind in ("boolean", "array", "sequence") else int(value)
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and math.isinf(value):
        end = column.most if value > 0 else column.least
        return math.copysign(LARGEST, value) if end is None else end
    return _whole(value, column)


def _whole(value: Any, column: Column) -> Any:
    """3 for the 3.0 that a column of whole numbers with gaps has in a DataFrame."""
    is_whole = column.kind == "integer" or column.stored.startswith(("int", "uint"))
    return int(value) if is_whole and isinstance(value, float) and value.is_integer() else value
