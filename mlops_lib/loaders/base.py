"""The interface of a data loader. A loader loses and doubles no row, and keeps order,
labels and declared types."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from mlops_lib import files
from mlops_lib.columns.infer import Declared, complete, infer
from mlops_lib.columns.schema import COLUMNS_FILE, Schema
from mlops_lib.columns.source_rows import SourceRows
from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.types import Place, canonical, conform, frame_for_prepare, wider
from mlops_lib.loaders.row_checks import require_whole_objects, with_files
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from torch.utils.data import DataLoader

    from mlops_lib.columns.encode import Encoder
    from mlops_lib.loaders.batches import Batches
    from mlops_lib.network_inputs.encode import InputEncoder

__all__ = ["COLUMNS_FILE", "SPLITS", "TAGS_FILE", "BaseDataLoader", "Schema", "Split"]

#: File beside the written splits with the tags of the loader that read them.
TAGS_FILE = "dataset.yaml"
#: File beside the written splits: how a row of the source becomes the features.
SOURCE_ROWS_FILE = "source_rows.json"
#: Tag with the number of rows that were left out because they have no label.
DROPPED_TAG = "mlops.rows_without_label"
#: Bytes of images in a row group.
GROUP_BYTES = 4 << 20
#: Rows of the train split that kinds are inferred from.
INFER_ROWS = 200_000


class BaseDataLoader(ABC):
    """One source of rows, split into train, validation and test.

    Attributes:
        declared: What is known about the columns beforehand; a loader that overrides `schema` needs none.
    """

    declared: Declared

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The loader that the `data` section describes."""

    @cached_property
    def schema(self) -> Schema:
        """Every column with its kind and role, inferred from the train split.

        Raises:
            DataError: A declared column is not there.
        """
        return infer(
            to_table(filled({s: self.head(s, INFER_ROWS) for s in ("train", "test")})), self.declared
        )

    @property
    def is_ready_made(self) -> bool:
        """Whether the source is split already, so that ``data.split`` decides nothing."""
        return False

    def source_tables(self, columns: Sequence[str] = ()) -> "Iterator[pa.Table]":
        """All rows of the source in order, before the split; label and key need not be known.

        Args:
            columns: The columns wanted; empty: all.
        """
        raise DataError(f"{type(self).__name__} does not show its source before label and key are known.")

    def source_frame(self, rows: int = 0) -> "pd.DataFrame":
        """All rows of the source as ``data.prepare`` gets them; the first `rows` of them, if that is not 0.

        Raises:
            DataError: The loader does not show its source.
        """
        import pyarrow as pa

        found: list[pa.Table] = []
        for table in self.source_tables():
            found.append(table)
            if rows and sum(map(len, found)) >= rows:
                break
        whole = pa.concat_tables(found)
        return frame_for_prepare(whole.slice(0, rows) if rows else whole, self.source_gaps)

    @property
    def source_rows(self) -> SourceRows | None:
        """How rows of the source become the features, where ``data.prepare`` travels with the model;
        else None."""
        return None

    @property
    def source_gaps(self) -> Iterable[str]:
        """Columns of the source that may have a missing value."""
        return ()

    @property
    def tags(self) -> Mapping[str, str]:
        """Facts about the data for the tags of a run and of the model version trained on it."""
        return {}

    @property
    def origin(self) -> Mapping[str, Any]:
        """Where the rows come from, in the loader's own words: values that JSON can hold, without secrets."""
        return {}

    @property
    def doubts(self) -> Sequence[str]:
        """What a person should check about the way that the source was read, a sentence each."""
        return ()

    @property
    def dropped_rows(self) -> int:
        """Rows that were left out because they have no label."""
        return 0

    @abstractmethod
    def load(self, split: Split) -> "pd.DataFrame":
        """All rows of a split in a stable order: key (where there is one), features, label.

        Raises:
            DataError: The data is missing or not as declared; names files, columns and rows.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest that changes when a row of the source changes, or the way rows are split.

        ``data.prepare`` does not change it: that is code, which git and the step cache track.
        """

    def parts(self, split: Split) -> Iterator["pd.DataFrame"]:
        """The rows of `load` in order: in parts where they are read from disk, else all at once."""
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
        """All rows of a split; `most` evenly spaced rows of a larger one."""
        import pandas as pd

        step = -(-self.count(split) // most)
        found, position = [], 0
        for part in self.parts(split):
            found.append(part.iloc[-position % step :: step].copy())  # a view would hold the whole part
            position += len(part)
        return pd.concat(found)

    def count(self, split: Split) -> int:
        """Number of rows of a split."""
        return len(self.load(split))

    def torch(
        self,
        split: Split,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        num_workers: int = 0,
        encoder: "Encoder | InputEncoder | None" = None,
    ) -> "DataLoader":
        """Batches of a split as ``(x, y)``, or ``(x, y, weights)`` where ``data.weight`` is set.

        x: the encoder's outputs [rows, outputs], or without an encoder the features; with an `InputEncoder` a
        dict of its inputs, or the tensor of the only one. y: the label as float32; with an encoder whose
        schema has classes, the class's position among them, int64 where there are more than two.

        Args:
            split: Which split.
            batch_size: Rows in a batch; the last one may be shorter.
            shuffle: A new order in each epoch, the same orders for the same `seed`.
            seed: Seed of the shuffling.
            num_workers: Processes that make batches, each from its own share of the rows. The processes of a
                distributed run share the rows in the same way.
            encoder: Turns raw rows into numbers.

        Raises:
            DataError: A value does not fit its column, or without an encoder a column is not numeric.
        """
        from mlops_lib.loaders.batches import EpochLoader

        return EpochLoader(self.batches(split, batch_size, shuffle, seed, encoder), num_workers)

    def batches(
        self,
        split: Split,
        batch_size: int,
        shuffle: bool,
        seed: int,
        encoder: "Encoder | InputEncoder | None",
    ) -> "Batches":
        """The batches of `torch`."""
        from mlops_lib.loaders.batches import TensorBatches, finish_of, to_tensors

        tensors = to_tensors(self.load(split), self.schema, encoder, split)
        return TensorBatches(tensors, batch_size, shuffle, seed, finish_of(encoder))

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        """Tables for `write`, in order. Only the first `limit` rows of each split are used (0: all)."""
        tables = {split: to_table(self.load(split)) for split in SPLITS}
        kinds = {field.name: field.type for field in tables["train"].schema}
        for table in tables.values():  # a column without a value in one split has the type of the others
            for field in table.schema:
                kinds[field.name] = wider(kinds[field.name], field.type) or kinds[field.name]
        for split, table in tables.items():
            columns = {
                name: conform(table[name].combine_chunks(), kind, Place(f"Split {split!r}", name))
                for name, kind in kinds.items()
            }
            yield split, table.from_pydict(columns)

    def write(self, folder: Path, limit: int = 0) -> dict[str, int]:
        """Write every split to ``<folder>/<split>.parquet``, the first `limit` rows of each (0: all),
        and the schema.

        Returns:
            Rows written of each split.

        Raises:
            DataError: A split is empty, or an object of the reference has lost its form
                (see `require_whole_objects`).
        """
        with ExitStack() as written:  # a reader sees each file whole, or the one before
            targets = {s: written.enter_context(files.replacing(folder / f"{s}.parquet")) for s in SPLITS}
            tags = written.enter_context(files.replacing(folder / TAGS_FILE))
            columns = written.enter_context(files.replacing(folder / COLUMNS_FILE))
            rows = self._write(targets, limit)
            needed = SPLITS if self._inferred_with is None or self._inferred_with.fits else ("test",)
            if empty := [s for s in needed if not rows[s]]:
                raise DataError(
                    f"Split {', '.join(map(repr, empty))} has no rows. {_needs(needed)} Give more data, or change "
                    "data.validation_fraction and data.test_fraction."
                )
            dropped = {DROPPED_TAG: str(self.dropped_rows)} if self.dropped_rows else {}
            tags.write_text(yaml.safe_dump({**self.tags, **dropped}), encoding="utf-8")
            schema = complete(self.schema, targets, self._inferred_with)
            columns.write_text(schema.to_json(), encoding="utf-8")
        return rows

    def _rows_in_group(self, table: "pa.Table") -> int | None:
        """Rows of a row group; None: as many as Parquet's default. A group of images is small,
        to shuffle them well."""
        if not self.schema.has_images:
            return None
        return max(GROUP_BYTES * len(table) // max(table.nbytes, 1), 1)

    @property
    def _inferred_with(self) -> Declared | None:
        """What the schema was inferred with; None: it is fixed."""
        return getattr(self, "declared", None)

    def _write(self, targets: Mapping[Split, Path], limit: int) -> dict[str, int]:
        """Write the tables of each split to its target; returns rows by split."""
        import pyarrow.parquet as pq

        rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
        writers: dict[Split, pq.ParquetWriter] = {}
        with ExitStack() as opened:
            for split, table in self.tables(limit):
                if not len(table := table.slice(0, limit - rows[split]) if limit else table):
                    continue
                table = with_files(table, self.schema, split, rows[split])
                references = [*self.schema.labels, *self.schema.references]
                require_whole_objects(table, references, split, rows[split])
                if split not in writers:
                    writers[split] = opened.enter_context(pq.ParquetWriter(targets[split], table.schema))
                writers[split].write_table(table, self._rows_in_group(table))
                rows[split] += len(table)
            for split in SPLITS if writers else ():  # an empty file, where it is allowed
                if split not in writers:
                    kinds = next(iter(writers.values())).schema
                    opened.enter_context(pq.ParquetWriter(targets[split], kinds))
        return rows


def filled(frames: "Mapping[Any, pd.DataFrame]") -> "pd.DataFrame":
    """The rows to infer columns from: those of the train split; of the test split, if train has none."""
    return frames["train"] if len(frames["train"]) else frames["test"]


def _needs(splits: Sequence[Split]) -> str:
    """A sentence about the splits that must have rows."""
    if "train" not in splits:
        return "A text task needs rows to judge, and no others."
    return "A model that is fitted needs rows to learn from, to choose by, and to be judged on."


def to_table(frame: "pd.DataFrame") -> "pa.Table":
    """A DataFrame as an Arrow table with canonical types.

    Raises:
        DataError: A column mixes types; names it.
    """
    import pyarrow as pa

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        columns = {
            name: conform(table[name].combine_chunks(), canonical(table[name].type), Place("The rows", name))
            for name in table.column_names
        }
        return pa.table(columns)
    except (
        ValueError,
        TypeError,
        pa.ArrowNotImplementedError,
    ) as error:  # also of pandas: columns of one name
        raise DataError(
            f"The rows have no table form: {error}. Give each column values of one type."
        ) from None
