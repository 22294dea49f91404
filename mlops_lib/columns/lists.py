"""Lists of numbers: arrays of one shape, and sequences whose length differs between rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .part import Output, Part
from .schema import LARGEST, Column
from .text import is_missing


class Array(Part):
    """The numbers of a list, or of nested lists, of one shape; a missing number in it is NaN."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self.shape = column.shape or (column.width,)
        width = math.prod(self.shape)
        self.wanted = (
            f"a list of {width} numbers"
            if len(self.shape) == 1
            else f"lists of numbers of shape {list(self.shape)}"
        )
        self.outputs = tuple(Output(f"{self.name}: {i}", self.name) for i in range(width))

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list | tuple | np.ndarray):
            return self.missing(row, value) if is_missing(value) else self.bad(row, value)
        found = _numbers(self, row, value)
        if found.shape != self.shape:
            self.bad(row, value)
        return tuple(found.ravel().tolist())

    def many(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        try:
            found = np.array([_plain(value) for value in values])
        except ValueError:  # lists of several lengths
            found = np.empty(0, dtype=object)
        if found.dtype.kind in "iuf" and found.shape == (len(values), *self.shape):
            floats = found.reshape(len(values), -1).astype(np.float64)
            if not (np.abs(floats) > LARGEST).any():
                out[:] = floats
                return
        super().many(values, out)


class SequenceOfNumbers(Part):
    """The numbers of a list of any length; no encoder makes columns of it. A missing list has no item."""

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self.shape = column.shape[1:]
        self.wanted = (
            f"a list of lists of numbers of shape {list(self.shape)}"
            if self.shape
            else "a list of numbers of any length"
        )
        self.outputs = ()

    def items(self, row: int, value: Any) -> np.ndarray:
        """The items of one value, float64 [length, *shape of an item]; `row` is for the error."""
        if not isinstance(value, list | tuple | np.ndarray):
            if not is_missing(value):
                self.bad(row, value)
            self.missing(row, value)
            value = ()
        if not len(value):
            return np.empty((0, *self.shape))
        found = _numbers(self, row, value)
        if found.shape[1:] != self.shape:
            self.bad(row, value)
        return found


def _numbers(part: Part, row: int, value: Any) -> np.ndarray:
    """Lists of numbers as float64; a BadValue for any other content."""
    try:
        found = _floats(part, row, value)
    except ValueError:  # lists of several lengths
        part.bad(row, value)
    if (np.abs(found) > LARGEST).any():
        part.bad(row, value)
    return found


def _floats(part: Part, row: int, value: Any) -> np.ndarray:
    found = np.asarray(_plain(value))
    if found.dtype.kind in "biuf":
        return found.astype(np.float64)
    return np.array([_item(part, row, value, one) for one in value], dtype=np.float64)


def _item(part: Part, row: int, value: Any, item: Any) -> Any:
    if isinstance(item, list | tuple | np.ndarray):
        return _floats(part, row, item)
    if is_missing(item):
        return math.nan
    if isinstance(item, str | bytes):
        part.bad(row, value)
    try:
        return float(item)
    except (TypeError, ValueError, OverflowError):
        part.bad(row, value)


def _plain(value: Any) -> Any:
    """The arrays of arrays that Arrow makes of nested lists, as lists of arrays."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_plain(one) for one in value]
    return value
