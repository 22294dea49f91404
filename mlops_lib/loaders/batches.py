"""Torch batches over a table: whole batches are sliced at once, never row by row."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mlops_lib.columns.encode import BadValue, encode_frame
from mlops_lib.columns.labels import labels_of
from mlops_lib.errors import DataError
from mlops_lib.loaders.ragged import Column, Ragged
from mlops_lib.network_inputs.encode import InputEncoder

if TYPE_CHECKING:
    import pandas as pd

    from mlops_lib.columns.encode import Encoder
    from mlops_lib.columns.schema import Schema

#: Columns of some rows: features, label and, where rows have weights, weights.
Columns = tuple[Column, ...]
#: Features, label and perhaps weights; features are a dict where a network has several inputs.
Batch = tuple[Any, ...]


class Batches(IterableDataset):
    """Batches ``(x, y)`` of one split: a new order in each epoch,
    and a share of the rows for each worker and rank.

    Where a batch decodes images, workers take turns instead: each finishes every n-th batch of the rank,
    so that the batches do not depend on the number of workers, which the machine decides.

    Args:
        rows: Rows of the whole split.
        batch_size: Rows in a batch; the last of each worker may be shorter. With `shuffle`,
            a last batch of one row joins the one before: batch normalisation cannot learn from one row.
        shuffle: Use a new order in each epoch.
        seed: Decides the orders.
        finish: Makes the batch of its columns; None: they are the batch.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        finish: "Finish | None" = None,
    ) -> None:
        self.rows, self.batch_size, self.shuffle, self.seed = rows, batch_size, shuffle, seed
        self.workers, self.epoch, self.finish = 1, 0, finish

    def __len__(self) -> int:
        """Batches of this rank in one epoch."""
        _, world = _rank()
        workers = 1 if self._take_turns else self.workers
        if world > 1:
            return workers * self._most_batches(world * workers)
        shares = (self.share(worker, workers) for worker in range(workers))
        return sum(self._count(stop - start) for start, stop in shares)

    def __iter__(self) -> Iterator[Batch]:
        # Read now: the loader increments the epoch as soon as it has this iterator.
        batches = self._batches(self.epoch)
        _, world = _rank()
        if world > 1:
            batches = self._in_step(batches, self._most_batches(world * self._workers_here()))
        if self._take_turns and (worker := get_worker_info()):
            batches = islice(batches, worker.id, None, worker.num_workers)
        return map(self.finish, batches) if self.finish else batches

    def share(self, shard: int, shards: int) -> tuple[int, int]:
        """First row of `shard` out of `shards`, and the row after its last;
        shares differ by at most one row."""
        return self.rows * shard // shards, self.rows * (shard + 1) // shards

    def my_share(self) -> tuple[int, int]:
        """The share of this process: of its rank, and of its worker inside the rank."""
        rank, world = _rank()
        worker, count = get_worker_info(), self._workers_here()
        number = worker.id if worker and count > 1 else 0
        return self.share(rank * count + number, world * count)

    def _joins(self, rows: int) -> bool:
        """Whether the last of some rows joins the batch before it."""
        return self.shuffle and rows > self.batch_size > 1 and rows % self.batch_size == 1

    def _count(self, rows: int) -> int:
        """Number of batches of some rows."""
        return math.ceil(rows / self.batch_size) - self._joins(rows)

    def _sizes(self, rows: int) -> list[int]:
        """Rows in each batch of some rows."""
        sizes = [min(self.batch_size, rows - at) for at in range(0, rows, self.batch_size)]
        return [*sizes[:-2], self.batch_size + 1] if self._joins(rows) else sizes

    def _workers_here(self) -> int:
        """Workers that share the rows of this rank."""
        worker = get_worker_info()
        return worker.num_workers if worker and not self._take_turns else 1

    @property
    def _take_turns(self) -> bool:
        return self.finish is not None and self.finish.is_slow

    def _most_batches(self, shards: int) -> int:
        """Number of batches of the largest of `shards` shares; `_in_step` gives each share as many.

        Raises:
            DataError: A share would have no row, or a batch of one row would have to be halved.
        """
        if self.rows < shards:
            raise DataError(
                f"{self.rows} rows cannot be shared by {shards} ranks and their workers: some would have none. "
                "Lower train.processes, train.nodes or num_workers."
            )
        if self.batch_size == 1 and self.rows % shards:
            raise DataError(
                f"{self.rows} rows in batches of one cannot be shared evenly by {shards} ranks and their workers, which "
                "wait for each other in every step. Take batches of two or more."
            )
        return self._count(math.ceil(self.rows / shards))

    def smallest(self, shards: int) -> int:
        """Rows in the smallest batch of any of `shards` shares."""
        wanted, found = self._most_batches(shards), self.rows
        for rows in (self.rows // shards, math.ceil(self.rows / shards)):
            *whole, last = self._sizes(rows)
            found = min(found, *whole, last if len(whole) + 1 == wanted else last // 2)
        return found

    @staticmethod
    def _in_step(batches: Iterator[Columns], wanted: int) -> Iterator[Columns]:
        """Exactly `wanted` batches, since ranks wait for each other in every step.

        A share with one row less may be one batch short; its last batch is full then, and is halved.
        """
        held: Columns | None = None
        for count, batch in enumerate(batches):
            if held is not None:
                yield held
            held, made = batch, count + 1
        if held is None:
            return
        if made == wanted:
            yield held
        else:
            yield from zip(*(part.tensor_split(2) for part in held), strict=True)

    def generator(self, epoch: int) -> torch.Generator:
        """Random generator of an epoch, the same in every worker and on every rank."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)

    def _batches(self, epoch: int) -> Iterator[Columns]:
        raise NotImplementedError


class TensorBatches(Batches):
    """Batches of tensors in memory with one item a row: ``x`` [rows, features], ``y`` [rows],
    and perhaps weights."""

    def __init__(
        self,
        tensors: Sequence[Column],
        batch_size: int,
        shuffle: bool,
        seed: int,
        finish: "Finish | None" = None,
    ) -> None:
        super().__init__(len(tensors[0]), batch_size, shuffle, seed, finish)
        self.tensors = tuple(tensors)

    def _batches(self, epoch: int) -> Iterator[Columns]:
        first, last = self.my_share()
        if first == last:
            return iter(())
        chosen: Any = slice(first, last)
        if self.shuffle:
            chosen = torch.randperm(self.rows, generator=self.generator(epoch))[first:last]
        sizes = self._sizes(last - first)
        return zip(*(one[chosen].split(sizes) for one in self.tensors), strict=True)


class EpochLoader(DataLoader):
    """A DataLoader whose items are whole batches, and which counts the epochs for its dataset.

    The dataset cannot count them itself: each epoch starts workers with new copies of it.
    """

    def __init__(self, batches: Batches, num_workers: int = 0, **more: Any) -> None:
        batches.workers = max(num_workers, 1)
        super().__init__(batches, batch_size=None, num_workers=num_workers, **more)

    def __iter__(self) -> Any:
        # Without workers there is nothing to collate; DataLoader's own iterator takes ten
        # times as long as the slicing.
        iterator = super().__iter__() if self.num_workers else iter(self.dataset)
        self.dataset.epoch += 1  # type: ignore[attr-defined]
        return iterator


def to_tensors(
    frame: "pd.DataFrame", schema: "Schema", encoder: "Encoder | InputEncoder | None" = None, split: str = ""
) -> Columns:
    """Features as float32 [rows, features or outputs of the encoder], label and weights as float32 [rows].

    Of an `InputEncoder`, a column for each input that it prepares. Several labels are float32 [rows,
    labels]. The label is int64 where it has more than two classes, as ``cross_entropy`` takes it; two are
    float32 for ``binary_cross_entropy``.

    Raises:
        DataError: A value does not fit its column, or without an encoder a column is not numeric; names it.
    """
    features = _encoded(frame, encoder, split) if encoder else [_numbers(frame, schema)]
    classes = encoder.schema.classes if encoder else ()
    others = [labels_of(frame, schema.labels, classes, split)]
    if schema.weight:
        others.append(frame[schema.weight].to_numpy(dtype=np.float64))
    kinds = [np.int64 if len(classes) > 2 else np.float32, np.float32]
    tensors = [torch.from_numpy(one.astype(kind)) for one, kind in zip(others, kinds, strict=False)]
    return (*(Ragged(one) if one.dtype == object else torch.from_numpy(one) for one in features), *tensors)


def shared_empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array in memory that a worker shares with its parent, so that a batch is not copied;
    its base is the tensor."""
    kind = getattr(torch, dtype)
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * kind.itemsize)  # as torch's default_collate
    return torch.empty(0, dtype=kind).set_(storage, 0, shape).numpy()


class Finish:
    """Makes batches of the columns of `to_tensors`.

    Attributes:
        is_slow: It decodes images.
    """

    def __init__(self, encoder: InputEncoder) -> None:
        self._encoder, self.is_slow = encoder, encoder.decodes_images

    def __call__(self, columns: Columns) -> Batch:
        count = self._encoder.prepared_arrays
        prepared = [one.items if isinstance(one, Ragged) else one.numpy() for one in columns[:count]]
        try:
            padded = self._encoder.padded(prepared, empty=shared_empty if get_worker_info() else np.empty)
        except BadValue as error:
            raise DataError(f"In a batch: {error}") from None
        found = {
            name: one.base if isinstance(one.base, torch.Tensor) else torch.from_numpy(one)
            for name, one in padded.items()
        }
        return (next(iter(found.values())) if self._encoder.inputs.is_one else found, *columns[count:])


def finish_of(encoder: "Encoder | InputEncoder | None") -> Finish | None:
    """Makes batches of the columns of `to_tensors`; None where they are the batch."""
    return Finish(encoder) if isinstance(encoder, InputEncoder) else None


def _encoded(frame: "pd.DataFrame", encoder: "Encoder | InputEncoder", split: str) -> list[np.ndarray]:
    try:
        if isinstance(encoder, InputEncoder):
            return encoder.prepared_frame(frame)
        return [encode_frame(encoder, frame).astype(np.float32)]
    except BadValue as error:
        raise DataError(f"{error} It is in the {split} split.") from None


def _numbers(frame: "pd.DataFrame", schema: "Schema") -> np.ndarray:
    features = list(schema.features)
    frame = frame.assign(**{c: frame[c].astype("float64") for c in features if _decimal(frame[c])})
    for column in features:
        if frame[column].dtype.kind not in "biuf":
            example = frame[column].iloc[0] if len(frame) else None
            raise DataError(
                f"Column {column!r} is {frame[column].dtype} (for example {example!r}); without an encoder a network "
                "needs numbers. Pass encoder=columns.fit.fit(schema, parts of the train split)."
            )
    return frame[features].to_numpy(dtype="float32", na_value=math.nan, copy=True)


def _decimal(column: "pd.Series") -> bool:
    """Whether a column holds exact decimals, as databases return them."""
    from pandas.api.types import infer_dtype

    return column.dtype.kind == "O" and infer_dtype(column, skipna=True) == "decimal"


def _rank() -> tuple[int, int]:
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
