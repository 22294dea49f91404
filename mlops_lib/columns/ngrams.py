"""Texts as counts of their hashed words and letters.

A hash needs no vocabulary, so a new word has a place, and the same one in every process.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from .part import Output, PartOfTexts
from .schema import Column
from .text import is_missing

LETTERS = 3
_WORD = re.compile(r"\w+")


class Text(PartOfTexts):
    """Hashed words and letters (see `counts`), and the number of letters. A missing text has NaN letters."""

    wanted = "text"

    def __init__(self, column: Column, learned: Mapping[str, Any]) -> None:
        super().__init__(column, learned)
        self._width, self._gaps = int(learned.get("width", 32)), column.missing_texts
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
        if type(value) is str and self.is_text:
            # A caller may send what the loader reads as missing, such as an empty cell of a CSV file.
            is_gap = not value or value in self._gaps
            return None if is_gap and self.nullable else normal(value)
        if is_missing(value) or self.column.means_missing(value):
            self.missing(row, value)
            return None
        try:
            return normal(self.text(value))
        except (ValueError, OverflowError):
            self.bad(row, value)


def normal(text: str) -> str:
    """Lower case, in one Unicode form: Korean letters and their parts, or wide and narrow letters,
    are the same."""
    return unicodedata.normalize("NFKC", text).lower()


def counts(texts: Sequence[str | None], width: int) -> np.ndarray:
    """Hashed counts of normal texts; None has no words.

    Returns:
        float64 [texts, 2 * width]: words, then runs of 3 letters, each half of a row scaled to length one.
    """
    table = np.zeros((len(texts), 2, width))
    hashes: dict[str, int] = {}
    for row, text in enumerate(texts):
        for word in _WORD.findall(text or ""):
            code = hashes.get(word)
            if code is None:
                code = hashes[word] = crc32(word.encode("utf-8", "surrogatepass")) % width
            table[row, 0, code] += 1
    rows, codes = _letters(texts)
    np.add.at(table[:, 1], (rows, codes % width), 1.0)
    lengths = np.sqrt((table**2).sum(axis=2, keepdims=True))
    return (table / np.maximum(lengths, 1.0)).reshape(len(texts), 2 * width)


def _letters(texts: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Row and hash of each run of letters, of all texts at once.
    A space stands before and after each text."""
    padded = ["" if text is None else f" {text} " for text in texts]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(padded)), [len(text) for text in padded])
    if len(points) < LETTERS:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    inside = rows[: 1 - LETTERS] == rows[LETTERS - 1 :]  # no run over two texts
    runs = points[:-2] * np.uint64(0x1000193) ^ points[1:-1] * np.uint64(0x85EBCA6B) ^ points[2:]
    mixed = (runs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    return rows[: 1 - LETTERS][inside], mixed[inside].astype(np.int64)
