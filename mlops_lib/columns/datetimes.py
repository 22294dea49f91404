"""Dates and times as calendar parts and elapsed days."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from .dates import (
    MISSING_US,
    TIME_OF_DAY,
    US_A_DAY,
    US_AN_HOUR,
    calendar,
    microseconds,
    microseconds_of_day,
    wanted_date,
)
from .part import Output, Part
from .schema import Column
from .text import is_missing

_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Datetime(Part):
    """Calendar parts, and the days since the first date of the train split.
    Hours if the train split has any."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._gap_texts = column.missing_texts
        self._first = int(learned.get("first_us", 0))
        self._of_day, self._hours = bool(learned.get("of_day")), bool(learned.get("hours"))
        names = (
            ("hour",)
            if self._of_day
            else ("days", "year", "month", "day", "weekday", *["hour"] * self._hours)
        )
        self.outputs = tuple(Output(f"{self.name}: {one}", self.name) for one in names)
        self.wanted = TIME_OF_DAY if self._of_day else wanted_date(column.date_order)
        self._us: Callable[[Any], int] = (
            microseconds_of_day if self._of_day else partial(microseconds, order=column.date_order)
        )

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if self._is_missing(value):
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
            MISSING_US if self._is_missing(value) else self._read(row, value)
            for row, value in enumerate(values)
        )
        return np.fromiter(found, np.int64, len(values))

    def _is_missing(self, value: Any) -> bool:
        """Whether it is missing, or a text that the loader reads as missing."""
        return value in self._gap_texts if type(value) is str else is_missing(value)

    def _read(self, row: int, value: Any) -> int:
        try:
            return self._us(value)
        except (ValueError, OverflowError):
            self.bad(row, value)
