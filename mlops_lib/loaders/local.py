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
from mlops_lib.loaders.base import TAGS_FILE, BaseDataLoader, Schema, Split
from mlops_lib.loaders.files import SplitFiles
from mlops_lib.loaders.fingerprints import Fingerprints
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.data import DataLoader


class LocalDataLoader(BaseDataLoader):
    """Rows of files on disk, split as `SplitFiles` has it.

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
        self.source = SplitFiles(
            Path(path), label, key, features, prepare, validation_fraction, test_fraction, seed
        )
        self.path, self.label, self.key, self.features = self.source.path, label, key, features
        self.streaming, self.cache = streaming, cache

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data = settings.data
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
        frame = self.source.frames["train"] if not self._streamed else self.head("train", 0)
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

    def load(self, split: Split) -> "pd.DataFrame":
        frame = self.source.frames[split]
        key = [self.key] if self.key else []
        return frame[[*key, *self.schema.features, self.label]]

    def fingerprint(self) -> str:
        digest, known = hashlib.sha256(), Fingerprints(self.cache)
        for file in self.source.files:
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
        return self.source.prepared(whole.to_pandas()).head(rows)

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
        if not self.streaming or self.source.prepare:
            return {}
        files = self.source.by_split
        parquet = all(file.suffix.lower() == ".parquet" for found in files.values() for file in found)
        return files if parquet else {}
