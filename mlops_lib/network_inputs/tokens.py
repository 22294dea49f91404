"""Ids of texts, by a tokenizer of the user's own or by a file of Hugging Face's tokenizers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..columns.part import PartOfTexts
from ..columns.schema import Column
from ..columns.text import is_missing


def named(path: str) -> Any:
    """The object that ``package.module:name`` stands for."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


class Tokens(PartOfTexts):
    """The ids of a text. A missing text has none.

    Args:
        column: Of texts.
        tokenizer: ``package.module:name`` of a function, an object or a class without arguments,
            called with a text or with a method ``encode``; else a file ``tokenizer.json``.
        length: Most ids, the first ones; 0: all.
        folder: Of the file.

    Attributes:
        codes: Number of different ids, if the tokenizer tells; else 0.
    """

    wanted = "text"

    def __init__(self, column: Column, tokenizer: str, length: int, folder: Path) -> None:
        super().__init__(column, {})
        self._named, self._length = tokenizer, length
        if ":" in tokenizer:
            found = named(tokenizer)
            found = found() if inspect.isclass(found) else found
        else:
            from tokenizers import Tokenizer

            found = Tokenizer.from_file(str(folder / tokenizer))
        self._encode = getattr(found, "encode", found)
        size = getattr(found, "get_vocab_size", None)
        self.codes = int(size() if size else getattr(found, "vocab_size", 0))

    def items(self, row: int, value: Any) -> np.ndarray:
        """The ids of one value, int64 [length]; `row` is for the error.

        Raises:
            ValueError: The tokenizer gives something else.
        """
        if is_missing(value) or (value == "" and self.nullable) or self.column.means_missing(value):
            self.missing(row, value)
            return np.empty(0, dtype=np.int64)
        try:
            text = self.text(value)
        except (ValueError, OverflowError):
            self.bad(row, value)
        found = self._encode(text)
        found = found["input_ids"] if isinstance(found, Mapping) else getattr(found, "ids", found)
        ids = np.asarray(list(found))
        if len(ids) and (ids.dtype.kind not in "iu" or ids.ndim != 1 or ids.min() < 0):
            raise ValueError(
                f"The tokenizer {self._named} gives {found!r} for {text!r}, and no list of ids from 0."
            )
        return ids[: self._length or None].astype(np.int64)
