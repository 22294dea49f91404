"""Turn raw rows into a matrix of numbers, in training and in the service alike.

Each column has a part that a fit on the train split made. Codes of a category: 0 for a missing value, 1 for a value that
the train split did not have, 2 and up for the known ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import numpy as np

from .schema import PLAIN, Schema
from .text import text_of

MISSING, UNKNOWN, FIRST = 0, 1, 2


class BadValue(ValueError):
    """A value that a column cannot have.

    Attributes:
        row: Number of the row, from 0.
        column: Name of the column.
        value: The value.
        wanted: What the column takes.
    """

    def __init__(self, row: int, column: str, value: Any, wanted: str) -> None:
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


class Encoder:
    """Encodes the features of a schema.

    Args:
        schema: Its features are the columns of a row, in order.
        parts: Column -> what the fit learned about it; a part is values that JSON has.

    Attributes:
        outputs: The columns of the matrix.
        is_plain: Whether every feature is a number or boolean, so that a row is its own encoding.
    """

    def __init__(self, schema: Schema, parts: Mapping[str, Mapping[str, Any]]) -> None:
        self.schema, self.parts = schema, {name: dict(part) for name, part in parts.items()}
        self.is_plain = schema.is_plain
        self._columns = [_PARTS[c.kind](c.name, self.parts.get(c.name, {})) for c in schema.features.values()]
        self.outputs = tuple(output for column in self._columns for output in column.outputs)

    def encode(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """The matrix of rows.

        Args:
            rows: Values of each row in the order of ``schema.features``.

        Returns:
            float64 [rows, outputs]; NaN for a missing number.

        Raises:
            BadValue: A value does not fit its column.
        """
        if self.is_plain:
            try:
                return np.array(rows, dtype=np.float64).reshape(len(rows), len(self._columns))
            except (TypeError, ValueError, OverflowError):
                pass  # the columns below name the value
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(self._columns)
        return self._matrix(columns, len(rows))

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: int) -> np.ndarray:
        """The same for whole columns by name, such as a DataFrame."""
        return self._matrix([columns[name] for name in self.schema.features], rows)

    def to_dict(self) -> dict[str, Any]:
        """Schema and parts as values that JSON has."""
        return {"schema": self.schema.to_dict(), "parts": self.parts}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Encoder:
        """The encoder of `to_dict`."""
        return cls(Schema.from_dict(found["schema"]), found["parts"])

    def _matrix(self, columns: Sequence[Any], rows: int) -> np.ndarray:
        matrix = np.empty((rows, len(self.outputs)))
        at = 0
        for column, values in zip(self._columns, columns, strict=True):
            width = len(column.outputs)
            column.fill(values, matrix[:, at : at + width])
            at += width
        return matrix


class _Number:
    """A number, an integer or a boolean, as it is."""

    wanted = "a number"

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.name, self.outputs = name, (Output(name, name),)

    def fill(self, values: Any, out: np.ndarray) -> None:
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            out[:, 0] = values
            return
        for row, value in enumerate(values):
            out[row, 0] = self._float(row, value)

    def _float(self, row: int, value: Any) -> float:
        if value is None:
            return math.nan
        if isinstance(value, str | bytes):
            raise BadValue(row, self.name, value, self.wanted)
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            if _missing(value):
                return math.nan
            raise BadValue(row, self.name, value, self.wanted) from None


class _Category:
    """The position of a text among those of the train split."""

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.name = name
        self._codes = {text: code for code, text in enumerate(part.get("values", ()), start=FIRST)}
        self.outputs = (Output(name, name, FIRST + len(self._codes)),)

    def fill(self, values: Any, out: np.ndarray) -> None:
        codes = self._codes
        for row, value in enumerate(values):
            out[row, 0] = MISSING if _missing(value) else codes.get(text_of(value), UNKNOWN)


class _Datetime:
    """Calendar parts, and the days since the first date of the train split."""

    NAMES = ("days", "month", "day", "weekday", "hour")

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.name, self._first = name, float(part.get("first_s", 0.0))
        self.outputs = tuple(Output(f"{name}: {one}", name) for one in self.NAMES)

    def fill(self, values: Any, out: np.ndarray) -> None:
        for row, value in enumerate(values):
            if _missing(value):
                out[row] = math.nan
                continue
            when = _moment(row, self.name, value)
            seconds = (when - _EPOCH).total_seconds() - self._first
            out[row] = (
                seconds / 86_400,
                when.month,
                when.day,
                when.weekday(),
                when.hour + when.minute / 60,
            )


class _Text:
    """Counts of hashed n-grams of letters, scaled to length one."""

    WIDTH, LETTERS = 32, 3

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.name = name
        self.outputs = tuple(Output(f"{name}: {i}", name) for i in range(self.WIDTH))

    def fill(self, values: Any, out: np.ndarray) -> None:
        from zlib import crc32

        out[:] = 0
        for row, value in enumerate(values):
            if _missing(value):
                continue
            text = f" {text_of(value).lower()} "
            for at in range(max(len(text) - self.LETTERS + 1, 1)):
                out[row, crc32(text[at : at + self.LETTERS].encode()) % self.WIDTH] += 1
            out[row] /= max(float(np.sqrt((out[row] ** 2).sum())), 1.0)


class _Array:
    """The numbers of a list of fixed length."""

    def __init__(self, name: str, part: Mapping[str, Any]) -> None:
        self.name, self.width = name, int(part.get("width", 0))
        self.outputs = tuple(Output(f"{name}: {i}", name) for i in range(self.width))

    def fill(self, values: Any, out: np.ndarray) -> None:
        for row, value in enumerate(values):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                out[row] = math.nan
                continue
            numbers = np.asarray(value, dtype=float)
            if numbers.shape != (self.width,):
                raise BadValue(row, self.name, value, f"{self.width} numbers")
            out[row] = numbers


_PARTS: dict[str, Any] = {
    **dict.fromkeys(PLAIN, _Number),
    "category": _Category,
    "datetime": _Datetime,
    "text": _Text,
    "array": _Array,
    "image": _Text,
}
_EPOCH = datetime(1970, 1, 1)


def _missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    if isinstance(value, str):
        return False
    try:
        return bool(value != value)  # noqa: PLR0124 - true of NaN and NaT
    except TypeError:  # pandas.NA has no truth value
        return True


def _moment(row: int, name: str, value: Any) -> datetime:
    """A date or time as a datetime in UTC without a zone."""
    wanted = "a date or time in ISO form, such as 2026-01-31 or 2026-01-31T08:00:00"
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadValue(row, name, value, wanted) from None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise BadValue(row, name, value, wanted)
