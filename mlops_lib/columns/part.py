"""The encoding of one column: one value at a time in the service, whole columns in training,
to the same last bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .dates import US_A_SECOND, microseconds, microseconds_of_day
from .schema import TEXT_TYPES, Column
from .text import text_of


class BadValue(ValueError):
    """A value that a column cannot have.

    Attributes:
        row: Number of the row, from 0.
        column: Name of the column.
        value: The value.
        wanted: What the column takes.
    """

    def __init__(self, row: int, column: str, value: Any, wanted: str) -> None:
        value = value.item() if isinstance(value, np.number | np.bool_) else value
        super().__init__(f"Row {row}: {column!r} is {value!r}, and must be {wanted}.")
        self.row, self.column, self.value, self.wanted = row, column, value, wanted


class Output(NamedTuple):
    """One column of the matrix.

    Attributes:
        name: For people, such as ``signup: month``.
        source: Column that it comes from.
        codes: Number of codes of a category; 0 for a number.
    """

    name: str
    source: str
    codes: int = 0


class Part:
    """The encoding of one column.

    Args:
        column: Its schema.
        learned: What `fit` learned from the train split; values that JSON has.
    """

    wanted = "a value"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        self.column, self.name, self.nullable = column, column.name, column.nullable
        self.outputs: tuple[Output, ...] = (Output(column.name, column.name),)

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        """The numbers of one value; `row` is for the error."""
        raise NotImplementedError

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        """Write the numbers of all values of a column to `out`, float64 [rows, outputs]."""
        for row, value in enumerate(values):
            out[row] = self.one(row, value)

    def missing(self, row: int, value: Any) -> tuple[float, ...]:
        """The numbers of a missing value."""
        if not self.nullable:
            raise BadValue(row, self.name, value, f"{self.wanted}: no row of the dataset lacks one")
        return (math.nan,) * len(self.outputs)

    def bad(self, row: int, value: Any) -> NoReturn:
        """Raise a BadValue."""
        or_null = " or null" if self.nullable else ""
        raise BadValue(row, self.name, value, self.wanted + or_null) from None


class PartOfTexts(Part):
    """The encoding of a column by the texts of its values.

    Attributes:
        is_text: Whether the column is stored as text, so that a text is its own.
    """

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        stored = column.stored
        self.is_text = stored in TEXT_TYPES or not stored
        self._takes_lists = "<" in stored or not stored
        self._read = next((read for start, read in _READERS.items() if stored.startswith(start)), None)

    def text(self, value: Any) -> str:
        """The text of a value that is there: the same for a value of the file and for that of JSON.

        Raises:
            ValueError: The column cannot have the value.
        """
        if self._read:
            return self._read(value)
        if isinstance(value, list | tuple | dict | np.ndarray) and not self._takes_lists:
            raise ValueError("a list or an object, in a column of single values")
        return text_of(value)


def _date(value: Any) -> str:
    return text_of(np.datetime64(microseconds(value), "us"))


def _time(value: Any) -> str:
    return text_of(microseconds_of_day(value) / US_A_SECOND)


def _seconds(value: Any) -> str:
    if isinstance(value, timedelta | np.timedelta64):
        value = float(np.timedelta64(value) / np.timedelta64(1, "s"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{type(value).__name__} is no number of seconds")  # noqa: TRY004 - as for text that is none
    return text_of(value)


#: How columns are read whose values JSON has as text or as a number.
_READERS = {"timestamp": _date, "date": _date, "time": _time, "duration": _seconds}
