"""Items of a function with type hints, in Python's types: JSON has no dates,
and its whole numbers may be floats."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from mlops_lib.errors import InputError


def as_items(rows: Sequence[Any], kind: Any) -> list[Any]:
    """Items for the type of a list's items in the signature.

    Raises:
        InputError: A text is no date, or a number not whole.
    """
    convert = CONVERT.get(getattr(kind, "name", ""))
    if not convert:
        return list(rows)
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(convert(row))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"Row {number} is {row!r}, and must be of MLflow's type {kind.name}.") from None
    return found


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _whole(value: Any) -> int:
    if isinstance(value, str) or value != int(value):
        raise ValueError("not a whole number")
    return int(value)


CONVERT: dict[str, Callable[[Any], Any]] = {"datetime": _time, "integer": _whole, "long": _whole}
