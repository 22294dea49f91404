"""Files on disk: Parquet, CSV, JSON and JSON Lines, one file or a folder of them."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml

from mlops_lib import plugins
from mlops_lib.errors import DataError
from mlops_lib.loaders import fingerprint_cache
from mlops_lib.loaders.base import SPLITS, TAGS_FILE, BaseDataLoader, Schema, Split
from mlops_lib.loaders.files import SUFFIXES, data_files, files_of_split, read_all
from mlops_lib.loaders.fingerprints import Fingerprints
from mlops_lib.loaders.splits import assign
from mlops_lib.settings import Settings
from mlops_lib.uris import masked

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.data import DataLoader


class LocalDataLoader(BaseDataLoader):
    """Rows of one file, of a folder of files with the same columns, or of a folder that is already split.

    A folder is already split when it has ``train``, ``validation`` and ``test``, each a file with one of the
    known endings or a folder of such files. Otherwise rows are split by a hash of the key (by position
    where there is no key).

    With `streaming`, the batches of a folder of Parquet that is already split come from its files, not from
    memory; `cache` is where digests of files are remembered.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        label: str,
        key: str = "",
        features: tuple[str, ...] = (),
        prepare: Callable[["pd.DataFrame"], "pd.DataFrame"] | None = None,
        validation_fraction: float = 0.15,
        test_fraction: float = 0.25,
        seed: int = 0,
        streaming: bool = False,
        cache: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.streaming, self.cache = streaming, cache
        self.label, self.key, self.features = label, key, features
        self.prepare = prepare
        self.validation_fraction, self.test_fraction, self.seed = validation_fraction, test_fraction, seed

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data = settings.data
        if "://" in data.source:
            raise DataError(
                f"The local loader reads files, and data.source is {masked(data.source)}. Copy or mount it, or write a "
                "loader of your own (docs/guide/data.md)."
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
            streaming=data.streaming,
            cache=fingerprint_cache(settings),
        )

    @cached_property
    def schema(self) -> Schema:
        frame = self._frames["train"] if not self._streamed else self.head("train", 0)
        chosen = self.features or [c for c in frame.columns if c not in (self.key, self.label)]
        return Schema(features={c: str(frame[c].dtype) for c in chosen}, label=self.label, key=self.key)

    @property
    def tags(self) -> dict[str, str]:
        """Those of the loader that wrote this folder, where one did."""
        file = self.path / TAGS_FILE
        if not file.is_file():
            return {}
        tags = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if not isinstance(tags, dict) or not all(isinstance(v, str) for pair in tags.items() for v in pair):
            raise DataError(f"{file} must map names to text; write the folder again with 01_get_data.")
        return tags

    def rows(self, split: Split) -> "pd.DataFrame":
        """All columns of a split, those that are no features among them."""
        return self._frames[split]

    def load(self, split: Split) -> "pd.DataFrame":
        frame = self._frames[split]
        key = [self.key] if self.key else []
        return frame[[*key, *self.schema.features, self.label]]

    def fingerprint(self) -> str:
        digest, known = hashlib.sha256(), Fingerprints(self.cache)
        for file in self._files:
            digest.update(f"{file.relative_to(self.path.parent)}\0{known.sha256(file)}\n".encode())
        known.save()
        return digest.hexdigest()

    def head(self, split: Split, rows: int) -> "pd.DataFrame":
        if not self._streamed:
            return super().head(split, rows)
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._streamed[split][0]) as parquet:
            first = next(parquet.iter_batches(max(rows, 1)), None)
            whole = pa.Table.from_batches([first] if first else [], parquet.schema_arrow)
        return self._prepared(whole.to_pandas()).head(rows)

    def count(self, split: Split) -> int:
        if not self._streamed:
            return super().count(split)
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(file).num_rows for file in self._streamed[split])

    def torch(
        self, split: Split, batch_size: int, *, shuffle: bool = False, seed: int = 0, num_workers: int = 0
    ) -> "DataLoader":
        if not self._streamed:
            return super().torch(split, batch_size, shuffle=shuffle, seed=seed, num_workers=num_workers)
        from mlops_lib.loaders.batches import EpochLoader
        from mlops_lib.loaders.streaming import ParquetBatches

        batches = ParquetBatches(self._streamed[split], self.schema, batch_size, shuffle, seed)
        return EpochLoader(batches, num_workers)

    @cached_property
    def _streamed(self) -> dict[Split, list[Path]]:
        """The Parquet files of each split, when batches come from them; else empty."""
        if not self.streaming or self.prepare or not self.path.is_dir():
            return {}
        files = {split: files_of_split(self.path, split) for split in SPLITS}
        parquet = all(
            found and all(f.suffix.lower() == ".parquet" for f in found) for found in files.values()
        )
        return files if parquet else {}

    @cached_property
    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise DataError(f"Data source {self.path} does not exist. Set data.source or DATA_SOURCE_PATH.")
        files = [self.path] if self.path.is_file() else data_files(self.path)
        if not files:
            raise DataError(f"Data source {self.path} has no file ending in {', '.join(SUFFIXES)}.")
        return files

    @cached_property
    def _frames(self) -> dict[Split, "pd.DataFrame"]:
        by_split = {split: files_of_split(self.path, split) for split in SPLITS} if self.path.is_dir() else {}
        if by_split and all(by_split.values()):
            frames = {split: self._prepared(read_all(files)) for split, files in by_split.items()}
        else:
            whole = self._prepared(read_all(self._files))
            keys = whole[self.key] if self.key else whole.index.to_series()
            split_of = assign(keys, self.validation_fraction, self.test_fraction, self.seed)
            frames = {split: whole[split_of == split].reset_index(drop=True) for split in SPLITS}
        return frames

    def _prepared(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        if frame.empty:
            raise DataError(f"Data source {self.path} has no rows.")
        if self.prepare is not None:
            frame = self.prepare(frame)
            if not hasattr(frame, "columns"):
                name = getattr(self.prepare, "__name__", self.prepare)
                raise DataError(f"data.prepare {name} returned a {type(frame).__name__}, not a DataFrame.")
        wanted = [self.label, *([self.key] if self.key else []), *self.features]
        if missing := [column for column in wanted if column not in frame.columns]:
            raise DataError(
                f"{self.path} has no column {', '.join(map(repr, missing))} (label, key or feature of config.yaml). "
                f"Columns it has: {', '.join(map(str, frame.columns))}."
            )
        for column in [self.label, *([self.key] if self.key else [])]:
            if (empty := frame[column].isna()).any():
                rows = ", ".join(map(str, frame.index[empty][:10]))
                raise DataError(
                    f"{self.path}: {empty.sum()} rows have no {column!r}; the first are rows {rows}, counted from 0."
                )
        return frame
