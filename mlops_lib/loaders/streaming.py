"""Batches straight from Parquet files, for data larger than memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mlops_lib.errors import DataError
from mlops_lib.loaders.batches import Batches, Columns, finish_of, to_tensors
from mlops_lib.loaders.formats.types import as_frame
from mlops_lib.loaders.ragged import joined

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.columns.encode import Encoder
    from mlops_lib.columns.schema import Schema
    from mlops_lib.network_inputs.encode import InputEncoder

#: Rows decoded at once, and least rows of the window that is shuffled (16 batches if that is more).
READ_ROWS, WINDOW_ROWS = 16_384, 65_536
#: Bytes of the images that are read at once, and of those in the window.
READ_BYTES, WINDOW_BYTES = 16 << 20, 128 << 20


class ParquetBatches(Batches):
    """Batches of the rows of Parquet files. Only a window of rows is in memory.

    With `shuffle`, each epoch reads the row groups of all files in a new order and shuffles rows within a
    window of 65,536, or of 128 MiB of images. Files with many row groups are mixed better.

    Args:
        files: Parquet files, in order.
        schema: Features and label.
        batch_size, shuffle, seed: See `Batches`.
        encoder: Turns raw rows into numbers; None: all features are numbers.
    """

    def __init__(
        self,
        files: Sequence[Path],
        schema: "Schema",
        batch_size: int,
        shuffle: bool,
        seed: int,
        encoder: "Encoder | InputEncoder | None" = None,
    ) -> None:
        import pyarrow.parquet as pq

        self.schema, self.encoder = schema, encoder
        #: (file, number of its row group, rows)
        self.groups: list[tuple[str, int, int]] = []
        for file in files:
            footer = pq.read_metadata(file)
            for number in range(footer.num_row_groups):
                self.groups.append((str(file), number, footer.row_group(number).num_rows))
        rows = sum(rows for *_, rows in self.groups)
        self.read_rows, self.window_rows = _sizes(files, schema, rows, batch_size)
        super().__init__(rows, batch_size, shuffle, seed, finish_of(encoder))

    def _batches(self, epoch: int) -> Iterator[Columns]:
        generator = self.generator(epoch)
        order = (
            torch.randperm(len(self.groups), generator=generator) if self.shuffle else range(len(self.groups))
        )
        window = self.window_rows if self.shuffle else self.batch_size
        held: list[Columns] = []
        count = 0
        for chunk in self._chunks([self.groups[i] for i in order]):
            held.append(chunk)
            count += len(chunk[0])
            if count >= window:
                whole, rest = self._cut(held, generator, last=False)
                yield from whole
                held, count = [rest], len(rest[0])
        if count:
            yield from self._cut(held, generator, last=True)[0]

    def _cut(
        self, held: Sequence[Columns], generator: torch.Generator, last: bool
    ) -> tuple[list[Columns], Columns]:
        """Whole batches of the rows held, shuffled if asked for, and the remaining rows."""
        columns = [joined(parts) for parts in zip(*held, strict=True)]
        rows = len(columns[0])
        if self.shuffle:
            order = torch.randperm(rows, generator=generator)
            columns = [one[order] for one in columns]
        # Two rows or more stay, so that the last batch has never one row alone.
        kept = 2 if self.shuffle and self.batch_size > 1 else 0
        end = rows if last else max(rows - kept, 0) // self.batch_size * self.batch_size
        # Copies, so that a batch that is kept does not keep the whole window in memory.
        batches, at = [], 0
        for size in self._sizes(end):
            batches.append(tuple(one[at : at + size].clone() for one in columns))
            at += size
        return batches, tuple(one[end:].clone() for one in columns)

    def _chunks(self, groups: Sequence[tuple[str, int, int]]) -> Iterator[Columns]:
        """This process's share of the rows of `groups`, in order, in chunks of `read_rows`."""
        import pyarrow.parquet as pq

        first, last = self.my_share()
        weight = [self.schema.weight] if self.schema.weight else []
        features = (self.encoder or self).schema.features
        columns = [*features, *weight, *self.schema.labels]
        position = 0
        for file, number, rows in groups:
            begin, end = max(first - position, 0), min(last - position, rows)
            position += rows
            if begin >= end:
                continue
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                at = 0
                for chunk in parquet.iter_batches(self.read_rows, row_groups=[number], columns=columns):
                    part = chunk.slice(
                        max(begin - at, 0), max(min(end - at, len(chunk)) - max(begin - at, 0), 0)
                    )
                    at += len(chunk)
                    if len(part):
                        yield self._tensors(part, file)

    def _tensors(self, part: "pa.RecordBatch", file: str) -> Columns:
        if self.encoder:
            import pyarrow as pa

            frame = as_frame(pa.Table.from_batches([part]), ())
            return to_tensors(frame, self.schema, self.encoder, Path(file).stem)
        names = list(self.schema.features)
        x = np.empty((len(part), len(names)), dtype=np.float32)
        for i, name in enumerate(names):
            x[:, i] = _floats(part.column(part.schema.get_field_index(name)), name, file)
        labels = []
        for name in self.schema.labels:
            label = part.column(part.schema.get_field_index(name))
            if label.null_count:
                raise DataError(f"{file}: {label.null_count} rows have no {name!r}.")
            labels.append(_floats(label, name, file))
        arrays = [x, labels[0].copy() if len(labels) == 1 else np.stack(labels, axis=1)]
        if name := self.schema.weight:
            arrays.append(_floats(part.column(part.schema.get_field_index(name)), name, file).copy())
        return tuple(torch.from_numpy(one) for one in arrays)


def _sizes(files: Sequence[Path], schema: "Schema", rows: int, batch_size: int) -> tuple[int, int]:
    """Rows that are read at once, and rows of the window: fewer of rows with images, but two batches."""
    read, window = READ_ROWS, max(WINDOW_ROWS, 16 * batch_size)
    if schema.has_images and rows:
        row_bytes = max(
            sum(file.stat().st_size for file in files) // rows, 1
        )  # images are compressed already
        read = max(min(read, READ_BYTES // row_bytes), 1)
        window = max(min(window, WINDOW_BYTES // row_bytes), 2 * batch_size)
    return read, window


def _floats(column: "pa.Array", name: str, file: str) -> np.ndarray:
    """Numbers as float32; NaN for a missing value."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(
            f"Column {name!r} of {file} is {kind}; a network needs numbers. Encode it in data.prepare."
        )
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
