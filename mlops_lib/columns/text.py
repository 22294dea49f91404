"""The one text of a key or a category, whatever type its file was read as."""

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np


def text_of(value: Any) -> str:
    """The text that keys and categories are compared and hashed by.

    A whole number has the same text in every type: 7, 7.0, ``Decimal("7.00")`` and NumPy's integers are "7". Text is
    itself: "007" and "1E2" stay apart from 7 and 100.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
    if isinstance(value, Decimal):
        return str(int(value)) if value.is_finite() and value == int(value) else f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day).isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
