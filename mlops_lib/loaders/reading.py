"""Rows of files, split into train, validation and test: read part by part, or held as DataFrames."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.alike import same_number
from mlops_lib.errors import DataError
from mlops_lib.loaders.divided import Divided, split_frame, with_label
from mlops_lib.loaders.formats.data_file import DataFile
from mlops_lib.loaders.formats.types import as_frame, frame_for_prepare
from mlops_lib.loaders.options import ReadOptions
from mlops_lib.loaders.row_checks import prepared, require_columns
from mlops_lib.loaders.rows import Rows
from mlops_lib.loaders.sources import Source, open_source
from mlops_lib.loaders.sources.ready_made import by_split
from mlops_lib.loaders.split_plans import SplitPlan
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.settings.data import CsvSettings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from mlops_lib.loaders.image_rows import ImageRows
#: Bytes of rows that columns are inferred from.
FIRST_BYTES = 256 << 20


@dataclass(eq=False)
class SplitFiles:
    """Rows of one file, of a folder of files with the same columns, or of a folder that is already split.

    Attributes:
        path: The file or the folder: a path or an address (see `open_source`).
        options: How the rows are read, named and split.
        remote_folder: Folder that remote files are kept in.
        password: Of an https address.
    """

    path: str | Path
    options: ReadOptions
    remote_folder: Path | None = None
    password: str = ""

    @cached_property
    def source(self) -> Source:
        """The files, wherever they are."""
        return open_source(self.path, self.remote_folder, self.password)

    @property
    def shown(self) -> str:
        """The name of the source in errors."""
        return self.source.shown

    @cached_property
    def files(self) -> list[DataFile]:
        """All data files, in order."""
        return self.source.files

    @cached_property
    def by_split(self) -> dict[Split, list[DataFile]]:
        """The files of each split if the source is already split; else empty."""
        if any(file.path == self.source.root for file in self.files):
            return {}
        one = self.options
        needed: tuple[Split, ...] = ("train", "test") if one.declared.fits else ("test",)
        found = by_split(self.source.root, self.files, self.shown, needed)
        if found and not found["validation"] and one.declared.fits and not one.split.validation_from_train:
            raise DataError(
                f"{self.shown} has train and test, and no validation split. Add one (such as validation.csv), or set "
                "data.split: {validation_from_train: true} to take data.validation_fraction of train."
            )
        return found

    @cached_property
    def rows(self) -> "Rows | ImageRows":
        """The rows of all files, with one type a column."""
        self.source.fetch()
        files = [file for found in self.by_split.values() for file in found] or self.files
        return self._rows(files)

    def contents(self) -> Mapping[str, Path | str]:
        """Name of each file that rows are read from -> its path, or the version that the server gives it."""
        return self.source.contents()

    def _rows(self, files: list[DataFile]) -> "Rows | ImageRows":
        return Rows(files, **self._read_options)

    @property
    def _read_options(self) -> dict[str, Any]:
        one = self.options
        return {
            "key": one.key,
            "csv": one.csv,
            "missing": one.missing_values,
            "labels": one.labels,
            "references": one.reference_columns,
            "is_free": self._is_free,
        }

    def _is_free(self, column: str) -> bool:
        """Whether any texts are right in a column: it is not used, or config.yaml says that they are names or prose."""
        one = self.options
        is_used = not one.features or column in (*one.features, *one.labels)
        is_kept = one.kinds.get(column) in ("category", "text", "drop") or column in one.reference_columns
        is_checked = (self.source.root / "columns.json").is_file()
        return is_checked or bool(one.prepare) or one.task == "text" or is_kept or not is_used

    @cached_property
    def frames(self) -> dict[Split, "pd.DataFrame"]:
        """All columns of all rows by split, in memory, through `prepare` if there is one."""
        import pyarrow as pa

        if self.options.prepare:
            return self._prepared_frames()
        found: dict[Split, list[pa.Table]] = {split: [self.rows.schema.empty_table()] for split in SPLITS}
        for split, table in self.tables():
            found[split].append(table)
        return {split: as_frame(pa.concat_tables(parts), self.rows.gaps) for split, parts in found.items()}

    def tables(
        self, columns: Sequence[str] | None = None, only: Split | None = None
    ) -> Iterator[tuple[Split, "pa.Table"]]:
        """The rows with their splits, in the order of the source, part by part; `prepare` is not used.

        Args:
            columns: Columns in this order; None: all.
            only: The one split that is wanted; None: all.

        Raises:
            DataError: There are no rows; a column is not there; a row has no key or no label; names rows.
        """
        self.require(self.rows.schema.names)
        if not self.rows.count():
            raise DataError(f"Data source {self.shown} has no rows.")
        for group in self._groups():
            yield from group.tables(columns or self.rows.schema.names, only)

    def head(
        self, split: Split, rows: int, columns: Sequence[str] | None = None, most_bytes: float = math.inf
    ) -> "pa.Table":
        """The first rows of a split, with these columns (None: all);
        not many more than `rows` or `most_bytes`."""
        import pyarrow as pa

        empty = self.rows.schema.empty_table()
        found = [empty.select(columns) if columns else empty]
        for _, table in self.tables(columns, split):
            found.append(table)
            if sum(map(len, found)) >= rows or sum(one.nbytes for one in found) >= most_bytes:
                break
        return pa.concat_tables(found)

    def first(self, rows: int) -> "pa.Table":
        """The first rows of the train split, fewer of long ones; of the test split, if train has none."""
        found = self.head("train", rows, most_bytes=FIRST_BYTES)
        return found if len(found) else self.head("test", rows, most_bytes=FIRST_BYTES)

    def count(self, split: Split) -> int:
        """Number of rows of a split, without holding them."""
        if files := self.whole(split):
            return self.rows.count(files)
        return sum(len(table) for _, table in self.tables(list(self.options.labels), split))

    def whole(self, split: Split) -> list[DataFile]:
        """The files that hold a split, all of it and nothing else; empty when no files do."""
        is_divided = split == "train" and not self.by_split.get("validation")
        return [] if is_divided or self.options.missing_label == "drop" else self.by_split.get(split, [])

    @property
    def is_held(self) -> bool:
        """Whether all rows are in memory already."""
        return "frames" in vars(self)

    @property
    def decides(self) -> str:
        """The settings that decide rows and splits beside the content of the files;
        empty for a ready-made folder."""
        ready, one = self.by_split and self.by_split["validation"], self.options
        chosen: list[tuple[object, ...]] = []
        if not ready:
            chosen.append((one.key, one.validation_fraction, one.test_fraction, one.seed, one.split))
        if (read := (one.csv, one.missing_values, one.missing_label)) != (CsvSettings(), (), "error"):
            chosen.append(read)
        return repr(chosen)

    @cached_property
    def dropped(self) -> int:
        """Rows left out for want of a label (``missing_label: drop``)."""
        if self.options.missing_label != "drop":
            return 0
        if self.options.prepare:
            return self._dropped_by_prepare if self.frames else 0
        return sum(group.dropped() for group in self._groups())

    @cached_property
    def doubts(self) -> list[str]:
        """What a person should check about the way that the files were read, a sentence each."""
        one = self.options
        kinds = {} if one.prepare else one.kinds
        merged = (self._merged(name) for name, kind in kinds.items() if kind == "category")
        times = [field.name for field in self.rows.schema if str(field.type).startswith("timestamp")]
        if one.features and not one.prepare:
            times = [name for name in times if name in (*one.features, *one.labels, one.split.column)]
        zones = (self.rows.doubt_of_zones(name) for name in times if kinds.get(name) != "drop")
        return [*self.rows.doubts, *filter(None, merged), *filter(None, zones)]

    def _merged(self, name: str) -> str:
        """The doubt about texts that were read as one number though they may be two names, such as the versions 3.1 and 3.10."""
        import pyarrow as pa

        if self.rows.schema.field(name).type != pa.float64():
            return ""
        texts = (text for text in sorted(self.rows.written(name)) if "." in text and not text.endswith(".0"))
        one, other = same_number(texts)
        return one and (
            f"column {name!r} has {one!r} and {other!r}, which are one number, so that they are one name here. If they are two, "
            "such as versions, write them as text in the source: v3.1, v3.10."
        )

    def require(self, columns: Iterable[object]) -> None:
        """Raise a DataError unless the columns that the options name are among `columns`."""
        require_columns(columns, self.options.named, self.shown)

    def _groups(self) -> Iterator[Divided]:
        """Files of one split each; or files whose rows are split by a plan."""
        one = self.options
        groups: list[tuple[SplitPlan | Split, list[DataFile]]] = [(one.plan, self.files)]
        if self.by_split:
            groups = [(split, files) for split, files in self.by_split.items() if files]
            from_train = one.split.validation_from_train and self.by_split["train"]
            if from_train and not self.by_split["validation"]:
                groups[0] = (replace(one.plan, test_fraction=0.0), self.by_split["train"])
        for by, files in groups:
            parts = partial(self.rows.tables, files=files)
            yield Divided(parts, by, one.labels, one.key, one.missing_label, self.shown)

    def _prepared_frames(self) -> dict[Split, "pd.DataFrame"]:
        import pyarrow as pa

        found: dict[Split, pd.DataFrame] = {}
        self._dropped_by_prepare = 0
        for group in self._groups():
            whole = self._prepared(
                frame_for_prepare(pa.concat_tables(group.parts(self.rows.schema.names)), self.rows.gaps)
            )
            if isinstance(group.by, str):
                found[group.by] = whole
                continue
            split_of = split_frame(whole, group.by, self.shown)
            for split in SPLITS:
                if split not in found:
                    found[split] = whole[split_of == split].reset_index(drop=True)
        return {split: found.get(split, whole.iloc[:0]) for split in SPLITS}

    def _prepared(self, whole: "pd.DataFrame") -> "pd.DataFrame":
        """Rows after `prepare`.

        Raises:
            DataError: There are no rows, or columns, labels or keys are missing; names columns and rows.
        """
        if whole.empty:
            raise DataError(f"Data source {self.shown} has no rows.")
        one = self.options
        assert one.prepare
        whole = prepared(one.prepare, whole)
        self.require(whole.columns)
        whole, dropped = with_label(whole, one.labels, one.key, one.missing_label, self.shown)
        self._dropped_by_prepare += dropped
        return whole
