"""Turn raw rows into the tensors of a network, in training and in the service alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..columns.encode import Encoder, values_of
from ..columns.lists import SequenceOfNumbers
from ..columns.part import BadValue, Part
from ..columns.schema import Schema
from .collate import Collated
from .images import Images
from .spec import BESIDE, RAGGED, Inputs, InputSpec
from .tokens import Tokens

#: Values of images in a batch of predictions: in float64, a convolution of more takes twice the time for each
#: of them, since they are beyond the processor's cache.
MAX_VALUES = 1 << 20


class InputEncoder:
    """Encodes rows as the inputs of a network.

    Rows are `prepared` once, an array for each input with one item a row: of a sequence an array, of an image
    the bytes of its file. `padded` makes a batch of the prepared arrays of any rows, and decodes its images.

    Args:
        inputs: The tensors.
        encoder: Of the columns that are no sequences, no images and no texts for a tokenizer.
        schema: Its features are all columns of the inputs, in order.
        folder: Of the files of tokenizers.
    """

    def __init__(self, inputs: Inputs, encoder: Encoder, schema: Schema, folder: Path = Path()) -> None:
        self.inputs, self.encoder, self.schema, self.folder = inputs, encoder, schema, folder
        #: The inputs that are made of columns, not beside another one.
        self.prepared_specs = tuple(spec for spec in inputs.specs if spec.form not in BESIDE)
        self._collated = Collated(inputs.collate, schema) if inputs.collate else None
        #: Number of arrays that `prepared` gives.
        self.prepared_arrays = 1 if inputs.collate else len(self.prepared_specs)
        self._items: dict[str, Callable[[int, Any], np.ndarray]] = {}
        self._images: dict[str, Images] = {}
        for spec in inputs.specs:
            column = schema.features[spec.columns[0]]
            if spec.form == "sequence":
                self._items[spec.name] = SequenceOfNumbers(column, {}).items
            elif spec.form == "tokens":
                self._items[spec.name] = Tokens(column, spec.tokenizer, spec.length, folder).items
            elif spec.form == "image":
                self._images[spec.name] = Images(column, spec)

    @property
    def has_free_sizes(self) -> bool:
        """Whether the shape of a batch depends on its rows."""
        return any(spec.is_free for spec in self.inputs.specs)

    @property
    def decodes_images(self) -> bool:
        """Whether making a batch decodes images."""
        return bool(self._images)

    def decode_in(self, threads: ThreadPoolExecutor) -> None:
        """Let threads decode the images of large batches."""
        for images in self._images.values():
            images.threads = threads

    def with_small_images(self, frame: Any) -> Any:
        """A DataFrame with large image files as the network sees them: for it, they stay the same."""
        for spec in self.inputs.specs:
            if spec.name in self._images:
                name, images = spec.columns[0], self._images[spec.name]
                frame = frame.assign(**{name: [images.small(file) for file in frame[name]]})
        return frame

    def most_rows(self, most: int) -> int:
        """At most so many rows, fewer of large images, so that a batch needs little memory."""
        return max(min(most, MAX_VALUES // max(self.image_values, 1)), 1)

    @property
    def image_values(self) -> int:
        """Values of a row's images."""
        return sum(one.channels * one.height * one.width for one in self._images.values())

    def with_inputs(self, **changed: Any) -> InputEncoder:
        """The same encoder with other facts about its inputs."""
        return InputEncoder(replace(self.inputs, **changed), self.encoder, self.schema, self.folder)

    def prepared_frame(self, frame: Any) -> list[np.ndarray]:
        """`prepared` of a DataFrame of pandas."""
        return self.prepared({name: values_of(frame[name]) for name in self.schema.features}, len(frame))

    def prepared(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: int) -> list[np.ndarray]:
        """An array for each of `prepared_specs`, with an item for each row;
        of sequences and images an array of objects.

        For a collate function, one array of the rows.

        Raises:
            BadValue: A value does not fit its column.
        """
        if self._collated:
            return [self._collated.rows(columns, rows)]
        return [self._prepared(spec, columns, rows) for spec in self.prepared_specs]

    def padded(
        self, prepared: Sequence[np.ndarray], extra: int = 0, empty: Callable[..., np.ndarray] = np.empty
    ) -> dict[str, np.ndarray]:
        """The inputs by name: sequences padded with 0 to the longest of these rows,
        with their lengths or mask; images.

        Args:
            prepared: Of the rows of a batch.
            extra: Places more than the longest sequence has, as a longer one beside it would add.
            empty: Makes the array of the images.

        Raises:
            BadValue: An image cannot be decoded.
        """
        if self._collated:
            return self._collated.tensors(prepared[0], self.inputs)
        found = {spec.name: one for spec, one in zip(self.prepared_specs, prepared, strict=True)}
        items = {spec.name: found[spec.name] for spec in self.prepared_specs if spec.form in RAGGED}
        for spec in self.inputs.specs:
            if spec.form in RAGGED:
                found[spec.name] = _padded(items[spec.name], spec, extra)
            elif spec.form == "image":
                found[spec.name] = self._images[spec.name].tensor(found[spec.name], empty)
            elif spec.form == "lengths":
                found[spec.name] = _lengths(items[spec.of])
            elif spec.form == "mask":
                lengths = _lengths(items[spec.of])
                longest = spec.shape[0] or int(lengths.max(initial=1)) + extra
                found[spec.name] = np.arange(longest) < lengths[:, None]
        return {spec.name: found[spec.name] for spec in self.inputs.specs}

    def parts(self, prepared: Sequence[np.ndarray], most: int) -> Iterator[np.ndarray]:
        """Row numbers of batches of at most `most` rows; with ``by_length``,
        of rows with sequences of one length."""
        rows = len(prepared[0])
        groups = [np.arange(rows)]
        if self.inputs.by_length and rows:
            _, group = np.unique(self._sizes(prepared), axis=0, return_inverse=True)
            groups = [np.flatnonzero(group.ravel() == number) for number in range(group.max() + 1)]
        for chosen in groups:
            for at in range(0, len(chosen), most):
                yield chosen[at : at + most]

    def to_dict(self) -> dict[str, Any]:
        """Inputs, encoder and schema, as values that JSON has."""
        return {
            "inputs": self.inputs.to_dict(),
            "encoder": self.encoder.to_dict(),
            "schema": self.schema.to_dict(),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], folder: Path = Path()) -> InputEncoder:
        """The encoder of `to_dict`."""
        inputs, encoder = Inputs.from_dict(found["inputs"]), Encoder.from_dict(found["encoder"])
        return cls(inputs, encoder, Schema.from_dict(found["schema"]), folder)

    def _sizes(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """The free sizes of each row alone [rows, sizes]."""
        if self._collated:
            return self._collated.sizes(prepared[0], self.inputs)
        ragged = [
            _lengths(one).clip(min=1)
            for spec, one in zip(self.prepared_specs, prepared, strict=True)
            if spec.form in RAGGED and spec.is_free
        ]
        return np.stack(ragged, axis=1)

    def _prepared(self, spec: InputSpec, columns: Mapping[str, Any], rows: int) -> np.ndarray:
        if spec.form in RAGGED:
            return self._ragged(spec, columns[spec.columns[0]], rows)
        if spec.form == "image":
            return self._images[spec.name].files(columns[spec.columns[0]], rows)
        parts: list[Part] = [self.encoder.parts[name] for name in spec.columns]
        matrix = np.empty((rows, sum(len(part.outputs) for part in parts)))
        at = 0
        for part in parts:
            own = matrix[:, at : at + len(part.outputs)]
            part.many(columns[part.name], own)
            at += len(part.outputs)
            if spec.dtype == "int64" and spec.form != "codes":
                for row, one in enumerate(own):
                    _require_whole(one, part.name, row, columns[part.name][row])
        return matrix.astype(spec.dtype).reshape(rows, *(size or 0 for size in spec.shape))

    def _ragged(self, spec: InputSpec, values: Any, rows: int) -> np.ndarray:
        found = np.empty(rows, dtype=object)
        for row, value in enumerate(values):
            items = self._items[spec.name](row, value)
            if spec.form == "sequence" and spec.length:
                items = items[-spec.length :]
            if spec.dtype == "int64":
                _require_whole(items, spec.columns[0], row, value)
            found[row] = items.astype(spec.dtype)
        return found


def _require_whole(items: np.ndarray, column: str, row: int, value: Any) -> None:
    """Check that numbers are whole; a gap is none."""
    if not (np.isfinite(items) & (items % 1 == 0)).all():
        raise BadValue(row, column, value, "whole numbers, none of them missing")


def _lengths(items: np.ndarray) -> np.ndarray:
    return np.fromiter(map(len, items), dtype=np.int64, count=len(items))


def _padded(items: np.ndarray, spec: InputSpec, extra: int) -> np.ndarray:
    """The items of all rows as one array; at least one place long,
    since networks refuse an empty sequence."""
    longest = spec.shape[0] or int(_lengths(items).max(initial=1)) + extra
    made = np.zeros((len(items), longest, *(size or 0 for size in spec.shape[1:])), dtype=spec.dtype)
    for row, one in enumerate(items):
        made[row, : len(one)] = one
    return made
