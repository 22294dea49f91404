"""Categories as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .part import Output, PartOfTexts
from .schema import Column
from .text import is_missing, text_of

#: Codes of a category. Rare values of the train split have the code of unknown ones.
MISSING, UNKNOWN, FIRST = 0, 1, 2


class Category(PartOfTexts):
    """The code of a text; see `MISSING`, `UNKNOWN` and `FIRST`."""

    wanted = "a category"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._codes = {text: float(code) for code, text in enumerate(learned.get("values", ()), start=FIRST)}
        self.outputs = (Output(self.name, self.name, FIRST + len(self._codes)),)
        # A caller may send what the loader reads as missing.
        self._gap_texts = column.missing_texts
        gaps = self._gap_texts if self.is_text else map(text_of, column.missing_numbers)
        self._codes.update(dict.fromkeys(gaps, float(MISSING)))

    def one(self, row: int, value: Any) -> tuple[float, ...]:
        if type(value) is str and self.is_text:
            # The loader reads an empty cell of a CSV file as missing; a caller may send it as "".
            return (self._codes.get(value, UNKNOWN if value or not self.nullable else MISSING),)
        if is_missing(value) or (type(value) is str and value in self._gap_texts):
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
        known = self._codes if self.is_text else {}  # text alone: 1, 1.0 and True would be one key
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
