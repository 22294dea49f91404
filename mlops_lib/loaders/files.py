"""Files on disk: Parquet, CSV, JSON and JSON Lines, one file or a folder of them."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml

from mlops_lib import plugins
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import DataError
from mlops_lib.loaders.base import COLUMNS_FILE, INFER_ROWS, TAGS_FILE, BaseDataLoader, to_table
from mlops_lib.loaders.fingerprints import Fingerprints, cache_file
from mlops_lib.loaders.parquet import ParquetRows
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.loaders.row_checks import Prepare
from mlops_lib.loaders.splits import Split
from mlops_lib.redact import mask
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from torch.utils.data import DataLoader


class LocalDataLoader(BaseDataLoader):
    """Rows of files on disk; see `SplitFiles` for how they are split.

    Args:
        path, label, key, features, prepare, validation_fraction, test_fraction, seed: See `SplitFiles`.
        kinds, task: See `Declared`.
        streaming: Read a folder of Parquet that is already split part by part. `load` still returns a whole split.
        cache: File that digests of files are cached in; None: no cache.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        label: str,
        key: str = "",
        features: tuple[str, ...] = (),
        prepare: Prepare | None = None,
        validation_fraction: float = 0.15,
        test_fraction: float = 0.25,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        task: str = "",
        streaming: bool = False,
        cache: Path | None = None,
    ) -> None:
        self.declared = Declared(label, key, features=features, kinds=kinds or {}, task=task)
        self.source = SplitFiles(
            Path(path), label, key, features, prepare, validation_fraction, test_fraction, seed
        )
        self.path, self.label, self.key, self.features = self.source.path, label, key, features
        self.streaming, self.cache = streaming, cache

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data = settings.data
        if "://" in data.source:
            raise DataError(
                f"The local loader reads files, and data.source is {mask(data.source)}. Copy or mount it, or write a "
                "loader of your own (docs/data.md)."
            )
        return cls(
            settings.path(data.source),
            label=data.label,
            key=data.key,
            features=data.features,
            prepare=plugins.load("prepare", data.prepare) if data.prepare else None,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            seed=data.seed,
            kinds=data.columns,
            task=settings.evaluation.task,
            streaming=data.streaming,
            cache=cache_file(settings),
        )

    @cached_property
    def schema(self) -> Schema:
        written = self.path / COLUMNS_FILE
        if written.is_file():
            return Schema.from_json(written.read_text(encoding="utf-8"))
        if not self._streamed:
            return infer(to_table(self.source.frames["train"]), self.declared)
        stored = self._streamed["train"]
        self.source.require(stored.schema.names)
        names = [name for name in stored.schema.names if not name.startswith("__index_level_")]  # of pandas
        return infer(stored.head(names, INFER_ROWS), self.declared)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the loader that wrote this folder; empty when no loader did."""
        file = self.path / TAGS_FILE
        if not file.is_file():
            return {}
        tags = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if not isinstance(tags, dict) or not all(isinstance(v, str) for pair in tags.items() for v in pair):
            raise DataError(f"{file} must map names to text; write the folder again with 01_get_data.")
        return tags

    def load(self, split: Split) -> "pd.DataFrame":
        return self.source.frames[split][self._columns]

    def parts(self, split: Split) -> Iterator["pd.DataFrame"]:
        if not self._streamed:
            yield from super().parts(split)
            return
        if not self.count(split):
            raise DataError(f"Split {split!r} of {self.path} has no rows.")
        for part in self._streamed[split].parts(self._columns):
            yield self.source.prepared(part.frame)

    def fingerprint(self) -> str:
        digest, known = hashlib.sha256(), Fingerprints(self.cache)
        for file in self.source.files:
            digest.update(f"{file.relative_to(self.path.parent)}\0{known.sha256(file)}\n".encode())
        known.save()
        if not self.source.by_split:
            digest.update(repr(self.source.splitting).encode())
        return digest.hexdigest()

    def count(self, split: Split) -> int:
        return len(self._streamed[split]) if self._streamed else super().count(split)

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        if not self._streamed:
            yield from super().tables(limit)
        for split, stored in self._streamed.items():
            rows = 0
            for table, frame in stored.parts(self._columns):
                self.source.prepared(frame)
                yield split, table
                rows += len(table)
                if limit and rows >= limit:
                    break

    def torch(
        self, split: Split, batch_size: int, *, shuffle: bool = False, seed: int = 0, num_workers: int = 0
    ) -> "DataLoader":
        if not self._streamed:
            return super().torch(split, batch_size, shuffle=shuffle, seed=seed, num_workers=num_workers)
        from mlops_lib.loaders.batches import EpochLoader
        from mlops_lib.loaders.streaming import ParquetBatches

        batches = ParquetBatches(self._streamed[split].files, self.schema, batch_size, shuffle, seed)
        return EpochLoader(batches, num_workers)

    @property
    def _inferred_with(self) -> Declared | None:
        return None if (self.path / COLUMNS_FILE).is_file() else self.declared

    @property
    def _columns(self) -> list[str]:
        return self.schema.used

    @cached_property
    def _streamed(self) -> dict[Split, ParquetRows]:
        """The rows of each split, when they are read part by part from Parquet files; else empty."""
        if not self.streaming or self.source.prepare:
            return {}
        files = self.source.by_split
        if any(file.suffix.lower() != ".parquet" for found in files.values() for file in found):
            return {}
        return {split: ParquetRows(found) for split, found in files.items()}
