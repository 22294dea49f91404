"""Torch batches over a table: whole batches are sliced at once, never row by row."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, IterableDataset

from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mlops_lib.loaders.base import Schema


class TensorBatches(IterableDataset):
    """Batches ``(x[i:j], y[i:j])`` of two tensors with the same number of rows, in a new order each epoch."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, batch_size: int, shuffle: bool, seed: int) -> None:
        self.x, self.y = x, y
        self.batch_size, self.shuffle = batch_size, shuffle
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x, y = self.x, self.y
        if self.shuffle:
            order = torch.randperm(len(x), generator=self.generator)
            x, y = x[order], y[order]
        for start in range(0, len(x), self.batch_size):
            stop = start + self.batch_size
            yield x[start:stop], y[start:stop]


def tensor_batches(
    x: torch.Tensor, y: torch.Tensor, batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> DataLoader:
    """A DataLoader whose items are whole batches ``(x, y)``; see `TensorBatches`."""
    return DataLoader(TensorBatches(x, y, batch_size, shuffle, seed), batch_size=None)


def to_tensors(frame: "pd.DataFrame", schema: "Schema") -> tuple[torch.Tensor, torch.Tensor]:
    """Features as float32 [rows, features] and the label as float32 [rows].

    Raises:
        DataError: A column holds something that is no number; names it with an example.
    """
    columns = [*schema.features, schema.label]
    frame = frame.assign(**{c: frame[c].astype("float64") for c in columns if _decimal(frame[c])})
    for column in columns:
        if frame[column].dtype.kind not in "biuf":
            example = frame[column].iloc[0] if len(frame) else None
            raise DataError(
                f"Column {column!r} is {frame[column].dtype} (for example {example!r}); a network needs numbers. "
                "Encode it in data.prepare, or use the sklearn wrapper with a ColumnTransformer."
            )
    x = torch.from_numpy(frame[list(schema.features)].to_numpy(dtype="float32", na_value=math.nan, copy=True))
    return x, torch.from_numpy(frame[schema.label].to_numpy(dtype="float32", copy=True))


def _decimal(column: "pd.Series") -> bool:
    """Exact decimals of a database, which are Python objects."""
    from pandas.api.types import infer_dtype

    return column.dtype.kind == "O" and infer_dtype(column, skipna=True) == "decimal"
