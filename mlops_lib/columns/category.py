"""Categories as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .dates import microseconds
from .part import Output, Part
from .schema import Column
from .text import is_missing, text_of

#: Codes of a category. Rare values of the train split have the code of unknown ones.
MISSING, UNKNOWN, FIRST = 0, 1, 2


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
