"""Files of tables: on this machine or behind an address, one file or a folder of them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import yaml

from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.columns.source_rows import SourceRows
from mlops_lib.errors import DataError
from mlops_lib.loaders import options
from mlops_lib.loaders.base import (
    COLUMNS_FILE,
    INFER_ROWS,
    SOURCE_ROWS_FILE,
    TAGS_FILE,
    BaseDataLoader,
    filled,
    to_table,
)
from mlops_lib.loaders.fingerprints import Fingerprints, cache_file
from mlops_lib.loaders.formats.types import as_frame
from mlops_lib.loaders.options import ReadOptions
from mlops_lib.loaders.origin import ORIGIN_FILE, read_origin
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from mlops_lib.columns.encode import Encoder
    from mlops_lib.loaders.batches import Batches
    from mlops_lib.network_inputs.encode import InputEncoder

#: Files that `origin` names.
MAX_NAMED = 100


class LocalDataLoader(BaseDataLoader):
    """Rows of files; see `SplitFiles` for how they are found, typed and split.

    Args:
        path, remote_folder, password: See `SplitFiles`.
        streaming: Read the rows part by part for `torch` too. `load` still returns a whole split.
        cache: File that digests of files are cached in; None: no cache.
        read_options: Fields of `ReadOptions`, such as ``label="y"``.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        streaming: bool = False,
        cache: Path | None = None,
        remote_folder: Path | None = None,
        password: str = "",
        **read_options: Any,
    ) -> None:
        self.source = self.open(path, ReadOptions(**read_options), remote_folder, password)
        self.declared = self.source.options.declared
        self.streaming, self.cache = streaming, cache

    #: Opens the source: its arguments are the fields of `SplitFiles`.
    open: ClassVar[type[SplitFiles]] = SplitFiles

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data = settings.data
        return cls(
            data.source if "://" in data.source else settings.path(data.source),
            streaming=data.streaming,
            cache=cache_file(settings),
            remote_folder=settings.path(settings.pipeline.work_dir) / "remote",
            password=options.password(settings),
            **options.from_settings(settings),
        )

    @property
    def path(self) -> Path:
        """The file or folder on this machine."""
        return self.source.source.root

    @cached_property
    def schema(self) -> Schema:
        written = self.path / COLUMNS_FILE
        if written.is_file():
            return Schema.from_json(written.read_text(encoding="utf-8"))
        if self.source.options.prepare:
            return infer(to_table(filled(self.source.frames)), self.declared)
        return infer(self.source.first(INFER_ROWS), self.declared)

    @property
    def origin(self) -> dict[str, Any]:
        """The files that were read; for a prepared dataset, where its writer read them."""
        if (self.path / ORIGIN_FILE).is_file():
            return read_origin(self.path / ORIGIN_FILE)
        names = list(self.source.source.contents())
        return {"path": self.source.shown, "files": names[:MAX_NAMED], "number_of_files": len(names)}

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

    @property
    def doubts(self) -> Sequence[str]:
        return self.source.doubts

    @property
    def dropped_rows(self) -> int:
        return self.source.dropped

    def load(self, split: Split) -> "pd.DataFrame":
        return self.source.frames[split][self.schema.used]

    def parts(self, split: Split) -> Iterator["pd.DataFrame"]:
        if self._is_held:
            yield from super().parts(split)
            return
        import pandas as pd

        position = 0
        for _, table in self.source.tables(self.schema.used, split):
            part = as_frame(table, self.source.rows.gaps)
            part.index = pd.RangeIndex(position, position + len(part))
            position += len(part)
            yield part
        if not position:
            raise DataError(f"Split {split!r} of {self.source.shown} has no rows.")

    def head(self, split: Split, rows: int) -> "pd.DataFrame":
        if self._is_held:
            return super().head(split, rows)
        return as_frame(self.source.head(split, rows, self.schema.used).slice(0, rows), self.source.rows.gaps)

    @property
    def is_ready_made(self) -> bool:
        return bool(self.source.by_split)

    def source_tables(self, columns: Sequence[str] = ()) -> "Iterator[pa.Table]":
        yield from self.source.rows.tables(columns or None)

    @property
    def source_rows(self) -> SourceRows | None:
        file = self.path / SOURCE_ROWS_FILE
        return SourceRows.from_dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    @property
    def source_gaps(self) -> Iterable[str]:
        return self.source.rows.gaps

    def fingerprint(self) -> str:
        digest, known = hashlib.sha256(), Fingerprints(self.cache)
        for name, found in self.source.contents().items():
            content = known.sha256(found) if isinstance(found, Path) else found
            digest.update(f"{name}\0{content}\n".encode())
        known.save()
        digest.update(self.source.decides.encode())
        return digest.hexdigest()

    def count(self, split: Split) -> int:
        return super().count(split) if self._is_held else self.source.count(split)

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        if self.source.options.prepare:
            yield from super().tables(limit)
            return
        rows = dict.fromkeys(SPLITS, 0)
        for split, table in self.source.tables(self.schema.used):
            yield split, table
            rows[split] += len(table)
            if limit and min(rows.values()) >= limit:
                break

    def batches(
        self,
        split: Split,
        batch_size: int,
        shuffle: bool,
        seed: int,
        encoder: "Encoder | InputEncoder | None",
    ) -> "Batches":
        files = self.source.whole(split) if self._streams and not self.source.options.prepare else []
        if not files or any(file.format != "parquet" or file.partition for file in files):
            return super().batches(split, batch_size, shuffle, seed, encoder)
        from mlops_lib.loaders.streaming import ParquetBatches

        paths = [file.path for file in files]
        return ParquetBatches(paths, self.schema, batch_size, shuffle, seed, encoder)

    @property
    def _streams(self) -> bool:
        """Whether batches are read from disk: images are, since they need much memory."""
        return self.streaming or self.schema.has_images

    @property
    def _is_held(self) -> bool:
        """Whether the rows are in memory, or must be for `prepare`."""
        return bool(self.source.options.prepare) or (not self._streams and self.source.is_held)

    @property
    def _inferred_with(self) -> Declared | None:
        return None if (self.path / COLUMNS_FILE).is_file() else self.declared
