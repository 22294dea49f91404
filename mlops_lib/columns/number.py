"""Numbers, integers, booleans and durations, as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from .part import BadValue, Part
from .schema import LARGEST, TEXT_TYPES, Column
from .text import is_missing

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Number(Part):
    """A number, an integer or a boolean, as it is; a duration in seconds."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._boolean, self._whole = column.kind == "boolean", column.kind == "integer"
        self._as_text = column.stored in TEXT_TYPES
        self._takes_booleans = self._boolean or column.stored == "bool"
        names = {"number": "a number", "integer": "a whole number", "boolean": "true or false"}
        self.wanted = names[column.kind]
        #: Numbers and texts that the loader reads as missing.
        self._gaps, self._gap_texts = column.missing_numbers, column.missing_texts
        self._least = -LARGEST if column.least is None else column.least
        self._most = LARGEST if column.most is None else column.most

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        kind = type(value)
        number: float = value if kind is float else self._number(row, value, kind)
        if not -LARGEST <= number <= LARGEST:
            if number != number:  # noqa: PLR0124 - NaN
                return self.missing(row, value)
            return (self._clipped(row, value, number),)
        if number in self._gaps:
            return self.missing(row, value)
        if (self._whole and number % 1) or (self._boolean and number not in (0.0, 1.0)):
            self.bad(row, value)
        return (number,)

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        floats = self._floats(values)
        if floats is None:
            super().many(values, out)
            return
        if self._gaps:
            floats[np.isin(floats, self._gaps)] = np.nan
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
            if kind in "iuf" or (kind == "b" and self._takes_booleans):
                return values.astype(np.float64)
            if kind == "m" and not (self._boolean or self._whole):
                return values / np.timedelta64(1, "s")
            return None
        plain = {bool, type(None)} if self._takes_booleans else {int, float, type(None)}
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
            if not self._takes_booleans:
                self.bad(row, value)
        elif isinstance(value, str):
            if value in self._gap_texts:
                return math.nan
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
