"""What every data loader promises: no row lost, none doubled, order kept, labels untouched, types as declared."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict

from mlops_lib.errors import DataError
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from torch.utils.data import DataLoader

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
#: Beside the written splits: the tags of the loader that they came from.
TAGS_FILE = "dataset.yaml"


class Schema(BaseModel):
    """Columns of a dataset: name to pandas dtype, and which of them are label and entity key."""

    model_config = ConfigDict(frozen=True)

    features: dict[str, str]
    label: str
    key: str = ""


class BaseDataLoader(ABC):
    """One source of rows, split into train, validation and test."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The loader that the `data` section describes."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """Columns and their types."""

    @property
    def tags(self) -> Mapping[str, str]:
        """What a model trained on this data must remember of it: tags of its run, and of its version."""
        return {}

    @abstractmethod
    def load(self, split: Split) -> "pd.DataFrame":
        """All rows of a split in a stable order: key (where there is one), features, label.

        Raises:
            DataError: The data is missing or breaks a promise; names files, columns and rows.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest that changes when a row of the source changes, or how rows are split.

        What is computed from them (``data.prepare``) is code, and counted as such: by git, and by the memory of steps.
        """

    def parts(self, split: Split) -> Iterator["pd.DataFrame"]:
        """The rows of `load` in order, some at a time where they come from disk, else all at once."""
        yield self.load(split)

    def head(self, split: Split, rows: int) -> "pd.DataFrame":
        """The first rows of a split."""
        import pandas as pd

        found: list[pd.DataFrame] = []
        for part in self.parts(split):
            found.append(part.head(rows - sum(map(len, found))))
            if sum(map(len, found)) >= rows:
                break
        return pd.concat(found)

    def sample(self, split: Split, most: int) -> "pd.DataFrame":
        """All rows of a split, or evenly spaced ones where there are more than `most`."""
        import pandas as pd

        step = -(-self.count(split) // most)
        found, position = [], 0
        for part in self.parts(split):
            found.append(part.iloc[-position % step :: step].copy())  # a view would hold the whole part
            position += len(part)
        return pd.concat(found)

    def count(self, split: Split) -> int:
        """How many rows a split has."""
        return len(self.load(split))

    def torch(
        self, split: Split, batch_size: int, *, shuffle: bool = False, seed: int = 0, num_workers: int = 0
    ) -> "DataLoader":
        """Batches of a split as ``(x, y)``: x float32 [rows, features], y float32 [rows].

        Args:
            split: Which split.
            batch_size: Rows in a batch; the last one may be shorter.
            shuffle: A new order in each epoch, the same orders for the same `seed`.
            seed: Seed of the shuffling.
            num_workers: Processes that make batches, each of its own share of the rows; so do the ranks of
                a distributed run.

        Raises:
            DataError: A feature or the label is not numeric.
        """
        from mlops_lib.loaders.batches import tensor_batches, to_tensors

        x, y = to_tensors(self.load(split), self.schema)
        return tensor_batches(x, y, batch_size, shuffle=shuffle, seed=seed, num_workers=num_workers)

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        """What `write` writes, in order; no more than the first `limit` rows of each split are wanted (0: all)."""
        import pyarrow as pa

        for split in SPLITS:
            yield split, pa.Table.from_pandas(self.load(split), preserve_index=False)

    def write(self, folder: Path, limit: int = 0) -> dict[str, int]:
        """Write every split to ``<folder>/<split>.parquet``, the first `limit` rows of each (0: all).

        Returns:
            Rows written of each split.

        Raises:
            DataError: A split is empty.
        """
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
        # Written aside and moved, so that a reader never meets half a file.
        partial = {split: folder / f".{split}.partial" for split in SPLITS}
        with ExitStack() as files:
            writers: dict[Split, pq.ParquetWriter] = {}
            for split, table in self.tables(limit):
                if not len(table := table.slice(0, limit - rows[split]) if limit else table):
                    continue
                if split not in writers:
                    writers[split] = files.enter_context(pq.ParquetWriter(partial[split], table.schema))
                writers[split].write_table(table)
                rows[split] += len(table)
        if empty := [split for split in SPLITS if not rows[split]]:
            raise DataError(
                f"Split {', '.join(map(repr, empty))} has no rows. Give more data, or change "
                "data.validation_fraction and data.test_fraction."
            )
        for split in SPLITS:
            partial[split].replace(folder / f"{split}.parquet")
        # Moved as well: memory links the files of a dataset, and what is written over would change in its copy too.
        tags = folder / ".tags.partial"
        tags.write_text(yaml.safe_dump(dict(self.tags)), encoding="utf-8")
        tags.replace(folder / TAGS_FILE)
        return rows
