"""Fit the encoder of a schema on the rows of the train split, part by part, in bounded memory."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.category import Category
from mlops_lib.columns.dates import LAST_US, MISSING_US, TIME_PATTERN, US_A_DAY
from mlops_lib.columns.datetimes import Datetime
from mlops_lib.columns.encode import Encoder, values_of
from mlops_lib.columns.schema import TEXT_TYPES, Schema
from mlops_lib.columns.text import is_missing

if TYPE_CHECKING:
    import pandas as pd

#: Most values of a category that have a code of their own: the most frequent ones.
MAX_VALUES = 1_000
#: Of a category with more values than this, those that occur once share the code of unknown ones.
MANY_VALUES = 100
#: Values of a category that are counted at once. Beyond it, the rarest so far are forgotten.
MAX_COUNTED = 500_000
#: Rows -> hashed columns for the words of a text, and as many for its letters.
TEXT_WIDTHS = ((1_000, 16), (10_000, 32), (100_000, 64))
MAX_TEXT_WIDTH = 128


def fit(schema: Schema, parts: "Iterable[pd.DataFrame]", max_values: int = MAX_VALUES) -> Encoder:
    """The encoder for the features of `schema`. The same rows in the same order give the same encoder.

    Args:
        schema: From the train split.
        parts: The rows of the train split, at once or part by part.
        max_values: Most values of a category with a code of their own.

    Raises:
        BadValue: A date cannot be read; the row is counted from the start of its part.
    """
    kinds = set(schema.kinds.values())
    learned: dict[str, Any] = {}
    if kinds & {"category", "datetime", "text"}:
        unfitted = Encoder(schema, {})
        learners: dict[str, Any] = {
            name: _LEARNERS[column.kind](unfitted.parts[name])
            for name, column in schema.features.items()
            if column.kind in _LEARNERS
        }
        for rows in parts:
            for name, learner in learners.items():
                learner.add(values_of(rows[name]))
        learned = {name: learner.learned(max_values) for name, learner in learners.items()}
    return Encoder(schema, learned)


class _Values:
    """Counts the texts of a category."""

    def __init__(self, part: Category) -> None:
        self._text, self._counts = part.text, Counter[Any]()
        self._counts_text = part.column.stored in TEXT_TYPES

    def add(self, values: Any) -> None:
        """Count the values of some rows."""
        if isinstance(values, np.ndarray) and values.dtype != object:
            for value, count in zip(*np.unique(values, return_counts=True), strict=True):
                if not is_missing(value):
                    self._counts[self._text(value)] += int(count)
        elif self._counts_text and set(map(type, values)) <= {str, type(None)}:
            self._counts.update(values)
            del self._counts[None]
        else:
            self._counts.update(self._text(value) for value in values if not is_missing(value))
        if len(self._counts) > MAX_COUNTED:
            least = min(self._counts.values())
            self._counts = Counter({text: n for text, n in self._counts.items() if n > least})

    def learned(self, max_values: int) -> dict[str, Any]:
        """The kept texts, sorted."""
        many = len(self._counts) > MANY_VALUES
        kept = [text for text, count in self._counts.items() if count > 1 or not many]
        kept.sort(key=lambda text: (-self._counts[text], text))
        return {"values": sorted(kept[:max_values])}


class _Dates:
    """Finds the first date, and whether the dates have hours."""

    def __init__(self, part: Datetime) -> None:
        self._part, self._found = part, dict[str, Any]()

    def add(self, values: Any) -> None:
        """Look at the values of some rows."""
        if not self._found:
            first = next((value for value in values if not is_missing(value)), None)
            if first is None:
                return
            of_day = isinstance(first, time) or (
                isinstance(first, str) and bool(re.match(TIME_PATTERN, first))
            )
            self._found = {"of_day": of_day, "first_us": LAST_US, "hours": False}
            self._part = Datetime(self._part.column, self._found)
        us = self._part.moments(values)
        if len(us := us[us != MISSING_US]):
            self._found["first_us"] = min(self._found["first_us"], int(us.min()))
            self._found["hours"] = self._found["hours"] or bool((us % US_A_DAY).any())

    def learned(self, max_values: int) -> dict[str, Any]:
        """The first date in microseconds since 1970, and the parts that the dates have."""
        return self._found


class _Rows:
    """Counts rows, which decide how wide the hash of a text is."""

    def __init__(self, part: Any) -> None:
        self._rows = 0

    def add(self, values: Any) -> None:
        """Count some rows."""
        self._rows += len(values)

    def learned(self, max_values: int) -> dict[str, Any]:
        """The width."""
        width = next((width for rows, width in TEXT_WIDTHS if self._rows < rows), MAX_TEXT_WIDTH)
        return {"width": width}


_LEARNERS = {"category": _Values, "datetime": _Dates, "text": _Rows}
