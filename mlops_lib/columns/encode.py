"""Turn raw rows into a matrix of numbers, in training and in the service alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .category import Category
from .datetimes import Datetime
from .lists import Array
from .ngrams import Text
from .number import Number
from .part import BadValue, Output, Part
from .schema import Schema

__all__ = ["PARTS", "BadValue", "Encoder", "Output", "Part", "encode_frame", "one_hot", "values_of"]

PARTS: dict[str, type[Part]] = {
    "number": Number,
    "integer": Number,
    "boolean": Number,
    "category": Category,
    "datetime": Datetime,
    "text": Text,
    "array": Array,
}
#: From this number of rows, whole columns are faster than single values.
MANY_ROWS = 16


class Encoder:
    """Encodes the features of a schema.

    Args:
        schema: Its features are the columns of a row, in order.
        learned: Column -> what the fit learned about it; values that JSON has.

    Attributes:
        outputs: The columns of the matrix.
        is_plain: Whether every feature is a finite number or boolean, so that a row is its own encoding.
    """

    def __init__(self, schema: Schema, learned: Mapping[str, Mapping[str, Any]]) -> None:
        self.schema, self.learned = schema, {name: dict(found) for name, found in learned.items()}
        self.is_plain = schema.is_plain
        if unknown := [one.name for one in schema.features.values() if one.kind not in PARTS]:
            kind = schema.features[unknown[0]].kind
            raise ValueError(
                f"Column {unknown[0]!r} is {'an' if kind[0] in 'aei' else 'a'} {kind}, which has no encoding as columns of "
                "numbers. Leave it out with data.columns (drop), or name it in model.inputs of a network."
            )
        self.parts = {
            one.name: PARTS[one.kind](one, self.learned.get(one.name, {})) for one in schema.features.values()
        }
        self._ones = [part.one for part in self.parts.values()]
        self.outputs = tuple(output for part in self.parts.values() for output in part.outputs)

    def encode(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """The matrix of rows.

        Args:
            rows: Values of each row in the order of ``schema.features``: those of JSON,
                of Python or of NumPy.

        Returns:
            float64 [rows, outputs]; NaN for a missing number.

        Raises:
            BadValue: A value does not fit its column.
        """
        if len(rows) >= MANY_ROWS:
            return self._matrix(list(zip(*rows, strict=True)), len(rows))
        found: list[float] = []
        for number, row in enumerate(rows):
            for one, value in zip(self._ones, row, strict=True):
                found += one(number, value)
        return np.array(found, dtype=np.float64).reshape(len(rows), len(self.outputs))

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: int) -> np.ndarray:
        """The same for whole columns by name."""
        return self._matrix([columns[name] for name in self.parts], rows)

    def to_dict(self) -> dict[str, Any]:
        """Schema and learned values, as values that JSON has."""
        return {"schema": self.schema.to_dict(), "parts": self.learned}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Encoder:
        """The encoder of `to_dict`."""
        return cls(Schema.from_dict(found["schema"]), found["parts"])

    def _matrix(self, columns: Sequence[Any], rows: int) -> np.ndarray:
        matrix = np.empty((rows, len(self.outputs)))
        at = 0
        for part, values in zip(self.parts.values(), columns, strict=True):
            width = len(part.outputs)
            part.many(values, matrix[:, at : at + width])
            at += width
        return matrix


def one_hot(matrix: np.ndarray, outputs: Sequence[Output]) -> np.ndarray:
    """The matrix of an encoder with a column of 0 and 1 for each code of a category.

    Args:
        matrix: float64 [rows, outputs].
        outputs: ``Encoder.outputs``.

    Returns:
        float64 [rows, numbers and codes], in the order of the outputs.
    """
    wide = [
        matrix[:, at, None] == np.arange(output.codes) if output.codes else matrix[:, at, None]
        for at, output in enumerate(outputs)
    ]
    return np.hstack(wide).astype(np.float64, copy=False) if wide else np.empty((len(matrix), 0))


def encode_frame(encoder: Encoder, frame: Any) -> np.ndarray:
    """The matrix of a DataFrame of pandas that has the encoder's columns; float64 [rows, outputs]."""
    return encoder.encode_columns({name: values_of(frame[name]) for name in encoder.parts}, len(frame))


def values_of(column: Any) -> Any:
    """The values of a column of pandas as the encoder takes them: an array of NumPy's types,
    or Python's values."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.tolist()
