"""How a column of each kind becomes numbers: one value at a time in the service, whole columns in training.

Both ways give the same numbers to the last bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .dates import MISSING_US, US_A_DAY, US_AN_HOUR, calendar, microseconds, microseconds_of_day
from .ngrams import counts, normal
from .schema import LARGEST, TEXT_TYPES, Column
from .text import is_missing, text_of

#: Codes of a category. Rare values of the train split have the code of unknown ones.
MISSING, UNKNOWN, FIRST = 0, 1, 2
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EPOCH_DAY = date(1970, 1, 1).toordinal()


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


class Number(Part):
    """A number, an integer or a boolean, as it is; a duration in seconds."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._boolean, self._whole = column.kind == "boolean", column.kind == "integer"
        self._as_text = column.stored in TEXT_TYPES
        names = {"number": "a number", "integer": "a whole number", "boolean": "true or false"}
        self.wanted = names[column.kind]
        self._least = -LARGEST if column.least is None else column.least
        self._most = LARGEST if column.most is None else column.most

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        kind = type(value)
        number: float = value if kind is float else self._number(row, value, kind)
        if not -LARGEST <= number <= LARGEST:
            if number != number:  # noqa: PLR0124 - NaN
                return self.missing(row, value)
            return (self._clipped(row, value, number),)
        if (self._whole and number % 1) or (self._boolean and number not in (0.0, 1.0)):
            self.bad(row, value)
        return (number,)

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        floats = self._floats(values)
        if floats is None:
            super().many(values, out)
            return
        with np.errstate(invalid="ignore"):
            inside = np.abs(floats) <= LARGEST
            bad = (~inside & ~np.isnan(floats)) | (inside & (floats % 1 != 0) if self._whole else False)
        if self._boolean:
            bad |= inside & (floats != 0) & (floats != 1)
        if not self.nullable:
            bad |= np.isnan(floats)
        out[:, 0] = floats
        for row in np.flatnonzero(bad).tolist():
            out[row, 0] = self.one(row, values[row])[0]

    def _floats(self, values: Sequence[Any] | np.ndarray) -> np.ndarray | None:
        """A column of one type that is quick to convert; None for any other."""
        if isinstance(values, np.ndarray) and values.dtype != object:
            kind = values.dtype.kind
            if kind in "iuf" or (kind == "b" and self._boolean):
                return values.astype(np.float64)
            if kind == "m" and not (self._boolean or self._whole):
                return values / np.timedelta64(1, "s")
            return None
        plain = {bool, type(None)} if self._boolean else {int, float, type(None)}
        if not set(map(type, values)) <= plain:
            return None
        try:
            return np.array(values, dtype=np.float64)  # None becomes NaN
        except OverflowError:
            return None

    def _number(self, row: int, value: Any, kind: type) -> float:
        if kind is int:
            pass
        elif is_missing(value):
            return math.nan
        elif isinstance(value, bool | np.bool_):
            if not self._boolean:
                self.bad(row, value)
        elif isinstance(value, str):
            if not (self._as_text and _NUMBER.fullmatch(value)):
                self.bad(row, value)
        elif isinstance(value, timedelta | np.timedelta64):
            if self._boolean or self._whole:
                self.bad(row, value)
            exact = value.to_timedelta64() if hasattr(value, "to_timedelta64") else np.timedelta64(value)
            return float(exact / np.timedelta64(1, "s"))
        elif isinstance(value, bytes | complex | np.complexfloating):
            self.bad(row, value)
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        except (TypeError, ValueError):
            self.bad(row, value)

    def _clipped(self, row: int, value: Any, number: float) -> float:
        """The end of the train split's range, if that split has such numbers too."""
        if not self.column.infinite:
            raise BadValue(row, self.name, value, f"{self.wanted} within the range of float32")
        return self._most if number > 0 else self._least


class Category(Part):
    """The code of a text; see `MISSING`, `UNKNOWN` and `FIRST`."""

    wanted = "a category"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._codes = {text: float(code) for code, text in enumerate(learned.get("values", ()), start=FIRST)}
        self.outputs = (Output(self.name, self.name, FIRST + len(self._codes)),)
        self._of_dates = column.stored.startswith(("timestamp", "date"))
        self._nested = "<" in column.stored

    def text(self, value: Any) -> str:
        """The text of a value that is there. Raises a ValueError for one that is no category."""
        if self._of_dates:
            return text_of(np.datetime64(microseconds(value), "us"))
        if isinstance(value, list | tuple | dict | np.ndarray) and not self._nested:
            raise ValueError("a list is no category")
        return text_of(value)

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if type(value) is str and not self._of_dates:
            return (self._codes.get(value, UNKNOWN),)
        if is_missing(value):
            return self.missing(row, value)
        try:
            return (self._codes.get(self.text(value), UNKNOWN),)
        except (ValueError, OverflowError):
            self.bad(row, value)

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        if isinstance(values, np.ndarray) and values.dtype.kind in "biufM" and len(values):
            kinds, first, inverse = np.unique(values, return_index=True, return_inverse=True)
            codes = np.empty(len(kinds))
            for at in np.argsort(first).tolist():  # an error names the first row
                codes[at] = self.one(int(first[at]), values[first[at]])[0]
            out[:, 0] = codes[inverse.ravel()]
            return
        known = {} if self._of_dates else self._codes  # text alone: 1, 1.0 and True would be one key
        try:
            found = [known.get(value) for value in values]
        except TypeError:  # a list, say
            super().many(values, out)
            return
        out[:, 0] = [
            self.one(row, values[row])[0] if code is None else code for row, code in enumerate(found)
        ]

    def missing(self, row: int, value: Any) -> tuple[float, ...]:
        super().missing(row, value)
        return (MISSING,)


class Datetime(Part):
    """Calendar parts, and the days since the first date of the train split. Hours if the train split has any."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._first = int(learned.get("first_us", 0))
        self._of_day, self._hours = bool(learned.get("of_day")), bool(learned.get("hours"))
        names = (
            ("hour",)
            if self._of_day
            else ("days", "year", "month", "day", "weekday", *["hour"] * self._hours)
        )
        self.outputs = tuple(Output(f"{self.name}: {one}", self.name) for one in names)
        form = (
            "a time of day, such as 08:30"
            if self._of_day
            else "a date or time in ISO form, such as 2026-01-31"
        )
        self.wanted = form if self._of_day else f"{form} or 2026-01-31T08:00:00Z"
        self._us = microseconds_of_day if self._of_day else microseconds

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if is_missing(value):
            return self.missing(row, value)
        us = self._read(row, value)
        if self._of_day:
            return (us / US_AN_HOUR,)
        days, rest = divmod(us, US_A_DAY)
        day = date.fromordinal(days + _EPOCH_DAY)
        found = (float(us - self._first) / US_A_DAY, day.year, day.month, day.day, (days + 3) % 7)
        return (*found, rest / US_AN_HOUR) if self._hours else found

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        us = self.moments(values)
        known = us != MISSING_US
        for row in np.flatnonzero(~known)[:1].tolist():
            self.missing(row, values[row])
        out[~known] = math.nan
        us = us[known]
        parts = calendar(us)
        if self._of_day:
            out[known, 0] = parts["hour"]
            return
        out[known, 0] = (us - self._first).astype(np.float64) / US_A_DAY
        for at, name in enumerate(("year", "month", "day", "weekday", *["hour"] * self._hours), start=1):
            out[known, at] = parts[name]

    def moments(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Microseconds since 1970, or of the day; int64 [rows], the least one for a missing value."""
        if isinstance(values, np.ndarray) and values.dtype.kind == "M" and not self._of_day:
            years = values.astype("datetime64[Y]").astype(np.int64) + 1970
            for row in np.flatnonzero(~np.isnat(values) & ((years < 1) | (years > 9999)))[:1].tolist():
                self.bad(row, values[row])
            return values.astype("datetime64[us]").astype(np.int64)
        found = (
            MISSING_US if is_missing(value) else self._read(row, value) for row, value in enumerate(values)
        )
        return np.fromiter(found, np.int64, len(values))

    def _read(self, row: int, value: Any) -> int:
        try:
            return self._us(value)
        except (ValueError, OverflowError):
            self.bad(row, value)


class Text(Part):
    """Hashed words and letters (see `counts`), and the number of letters. A missing text has NaN letters."""

    wanted = "text"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._width, self._nested = int(learned.get("width", 32)), "<" in column.stored
        self._of_dates = column.stored.startswith(("timestamp", "date"))
        names = [f"{self.name}: {half} {i}" for half in ("words", "letters") for i in range(self._width)]
        self.outputs = tuple(Output(one, self.name) for one in (*names, f"{self.name}: length"))

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        return tuple(self._numbers([self._text(row, value)])[0].tolist())

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        out[:] = self._numbers([self._text(row, value) for row, value in enumerate(values)])

    def _numbers(self, texts: list[str | None]) -> np.ndarray:
        lengths = [[math.nan if text is None else len(text)] for text in texts]
        return np.hstack([counts(texts, self._width), np.array(lengths).reshape(-1, 1)])

    def _text(self, row: int, value: Any) -> str | None:
        if type(value) is str and not self._of_dates:
            return normal(value)
        if is_missing(value):
            self.missing(row, value)
            return None
        if self._of_dates:  # a date comes as text in JSON
            try:
                value = np.datetime64(microseconds(value), "us")
            except (ValueError, OverflowError):
                self.bad(row, value)
        if isinstance(value, list | tuple | dict | np.ndarray) and not self._nested:
            self.bad(row, value)
        return normal(text_of(value))


class Array(Part):
    """The numbers of a list of fixed length; a missing number in it is NaN."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._width = column.width
        self.wanted = f"a list of {self._width} numbers"
        self.outputs = tuple(Output(f"{self.name}: {i}", self.name) for i in range(self._width))

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list | tuple | np.ndarray):
            return self.missing(row, value) if is_missing(value) else self.bad(row, value)
        if len(value) != self._width:
            self.bad(row, value)
        try:
            found = np.asarray(value)
        except ValueError:  # lists of several lengths
            self.bad(row, value)
        if found.dtype.kind not in "biuf":
            found = np.array([self._number(row, value, number) for number in value])
        found = found.astype(np.float64)
        if found.shape != (self._width,) or (np.abs(found) > LARGEST).any():
            self.bad(row, value)
        return tuple(found.tolist())

    def _number(self, row: int, value: Any, number: Any) -> float:
        if is_missing(number):
            return math.nan
        if isinstance(number, str | bytes):
            self.bad(row, value)
        try:
            return float(number)
        except (TypeError, ValueError, OverflowError):
            self.bad(row, value)


PARTS: dict[str, type[Part]] = {
    "number": Number,
    "integer": Number,
    "boolean": Number,
    "category": Category,
    "datetime": Datetime,
    "text": Text,
    "array": Array,
}
