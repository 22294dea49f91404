"""Turn raw rows into the tensors of a network, in training and in the service alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..columns.encode import Encoder, values_of
from ..columns.lists import SequenceOfNumbers
from ..columns.part import BadValue, Part
from ..columns.schema import Schema
from .spec import BESIDE, Inputs, InputSpec


class InputEncoder:
    """Encodes rows as the inputs of a network.

    Rows are `prepared` once, an array for each input with one item a row; of a sequence, an array of arrays. What is
    prepared of any rows becomes a batch with `padded`.

    Args:
        inputs: The tensors.
        encoder: Of the columns that are no sequences.
        schema: Its features are all columns of the inputs, in order.
    """

    def __init__(self, inputs: Inputs, encoder: Encoder, schema: Schema) -> None:
        self.inputs, self.encoder, self.schema = inputs, encoder, schema
        #: The inputs that are made of columns, not beside another one.
        self.prepared_specs = tuple(spec for spec in inputs.specs if spec.form not in BESIDE)
        self._sequences = {
            name: SequenceOfNumbers(column, {})
            for name, column in schema.features.items()
            if column.kind == "sequence"
        }

    def prepared_frame(self, frame: Any) -> list[np.ndarray]:
        """`prepared` of a DataFrame of pandas."""
        return self.prepared({name: values_of(frame[name]) for name in self.schema.features}, len(frame))

    def prepared(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: int) -> list[np.ndarray]:
        """An array for each of `prepared_specs`, with an item for each row; of a sequence an array of objects.

        Raises:
            BadValue: A value does not fit its column.
        """
        return [self._prepared(spec, columns, rows) for spec in self.prepared_specs]

    def padded(self, prepared: Sequence[np.ndarray], extra: int = 0) -> dict[str, np.ndarray]:
        """The inputs by name: sequences padded with 0 to the longest of these rows, with their lengths or mask.

        Args:
            prepared: Of the rows of a batch.
            extra: Places more than the longest sequence has, as a longer one beside it would add.
        """
        found = {spec.name: one for spec, one in zip(self.prepared_specs, prepared, strict=True)}
        items = {spec.columns: found[spec.name] for spec in self.prepared_specs if spec.form == "sequence"}
        for spec in self.inputs.specs:
            if spec.form == "sequence":
                found[spec.name] = _padded(items[spec.columns], spec, extra)
            elif spec.form == "lengths":
                found[spec.name] = _lengths(items[spec.columns])
            elif spec.form == "mask":
                lengths = _lengths(items[spec.columns])
                longest = spec.shape[0] or int(lengths.max(initial=1)) + extra
                found[spec.name] = np.arange(longest) < lengths[:, None]
        return {spec.name: found[spec.name] for spec in self.inputs.specs}

    def parts(self, prepared: Sequence[np.ndarray], most: int) -> Iterator[np.ndarray]:
        """Row numbers of batches of at most `most` rows; with ``by_length``, of rows with sequences of one length."""
        rows = len(prepared[0])
        groups = [np.arange(rows)]
        sequences = [
            _lengths(one)
            for spec, one in zip(self.prepared_specs, prepared, strict=True)
            if spec.form == "sequence" and spec.is_free
        ]
        if self.inputs.by_length and sequences and rows:
            shapes = np.stack(sequences, axis=1).clip(min=1)
            _, group = np.unique(shapes, axis=0, return_inverse=True)
            groups = [np.flatnonzero(group.ravel() == number) for number in range(group.max() + 1)]
        for chosen in groups:
            for at in range(0, len(chosen), most):
                yield chosen[at : at + most]

    def to_dict(self) -> dict[str, Any]:
        """Inputs, encoder and schema, as values that JSON has."""
        return {
            **self.inputs.to_dict(),
            "encoder": self.encoder.to_dict(),
            "schema": self.schema.to_dict(),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> InputEncoder:
        """The encoder of `to_dict`."""
        schema = Schema.from_dict(found["schema"])
        return cls(Inputs.from_dict(found), Encoder.from_dict(found["encoder"]), schema)

    def _prepared(self, spec: InputSpec, columns: Mapping[str, Any], rows: int) -> np.ndarray:
        if spec.form == "sequence":
            return self._items(self._sequences[spec.columns[0]], columns[spec.columns[0]], rows, spec)
        parts: list[Part] = [self.encoder.parts[name] for name in spec.columns]
        matrix = np.empty((rows, sum(len(part.outputs) for part in parts)))
        at = 0
        for part in parts:
            part.many(columns[part.name], matrix[:, at : at + len(part.outputs)])
            at += len(part.outputs)
        return _typed(matrix, spec, parts[0], columns).reshape(rows, *(size or 0 for size in spec.shape))

    def _items(self, part: SequenceOfNumbers, values: Any, rows: int, spec: InputSpec) -> np.ndarray:
        found = np.empty(rows, dtype=object)
        for row, value in enumerate(values):
            items = part.items(row, value)
            if spec.length and len(items) > spec.length:
                items = items[-spec.length :]
            found[row] = items if spec.dtype != "int64" else _whole(items, part, row, value)
            found[row] = found[row].astype(spec.dtype)
        return found


def _typed(matrix: np.ndarray, spec: InputSpec, part: Part, columns: Mapping[str, Any]) -> np.ndarray:
    if spec.dtype == "int64" and spec.form != "codes":
        for row, one in enumerate(matrix):
            _whole(one, part, row, columns[part.name][row])
    return matrix.astype(spec.dtype)


def _whole(items: np.ndarray, part: Part, row: int, value: Any) -> np.ndarray:
    """Numbers that are whole; a gap is none."""
    if not (np.isfinite(items) & (items % 1 == 0)).all():
        raise BadValue(row, part.name, value, f"{part.wanted}, all whole and none missing")
    return items


def _lengths(items: np.ndarray) -> np.ndarray:
    return np.fromiter(map(len, items), dtype=np.int64, count=len(items))


def _padded(items: np.ndarray, spec: InputSpec, extra: int) -> np.ndarray:
    """The items of all rows as one array; at least one place long, since networks refuse an empty sequence."""
    longest = spec.shape[0] or int(_lengths(items).max(initial=1)) + extra
    made = np.zeros((len(items), longest, *(size or 0 for size in spec.shape[1:])), dtype=spec.dtype)
    for row, one in enumerate(items):
        made[row, : len(one)] = one
    return made
