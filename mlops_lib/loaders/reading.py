"""Find, read and split tables on disk: Parquet, CSV, JSON and JSON Lines."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import DataError
from mlops_lib.loaders.row_checks import Prepare, named_columns, prepared, require_columns, require_values
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.loaders.splitting import assign

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")


@dataclass(eq=False)
class SplitFiles:
    """Rows of one file, of a folder of files with the same columns, or of a folder that is already split.

    A folder is already split when it has ``train``, ``validation`` and ``test``, each a file with a known suffix
    or a folder of such files. Otherwise rows are split by a hash of the key, or by position without a key.

    Attributes:
        path: The file or the folder.
        label: Label column; every row must have a value.
        key: Column of entity keys; every row must have a value. Empty: no key.
        wanted: Further columns that must be there.
        prepare: Function from the rows on disk to the rows to split.
        validation_fraction, test_fraction, seed: See `splitting.assign`.
    """

    path: Path
    label: str
    key: str = ""
    wanted: tuple[str, ...] = ()
    prepare: Prepare | None = None
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    seed: int = 0

    @cached_property
    def files(self) -> list[Path]:
        """All data files."""
        if not self.path.exists():
            raise DataError(f"Data source {self.path} does not exist. Set data.source or DATA_SOURCE_PATH.")
        files = [self.path] if self.path.is_file() else data_files(self.path)
        if not files:
            raise DataError(f"Data source {self.path} has no file ending in {', '.join(SUFFIXES)}.")
        return files

    @property
    def splitting(self) -> tuple[str, float, float, int]:
        """Everything that decides the split of a row: key column, fractions, seed."""
        return self.key, self.validation_fraction, self.test_fraction, self.seed

    @cached_property
    def by_split(self) -> dict[Split, list[Path]]:
        """The files of each split if the folder is already split; else empty."""
        if not self.path.is_dir():
            return {}
        found = {split: files_of_split(self.path, split) for split in SPLITS}
        return found if all(found.values()) else {}

    @cached_property
    def frames(self) -> dict[Split, "pd.DataFrame"]:
        """All columns of all rows by split, in memory."""
        if self.by_split:
            return {split: self.prepared(read_all(files)) for split, files in self.by_split.items()}
        whole = self.prepared(read_all(self.files))
        keys = whole[self.key] if self.key else whole.index.to_series()
        split_of = assign(keys, *self.splitting[1:])
        return {split: whole[split_of == split].reset_index(drop=True) for split in SPLITS}

    def prepared(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Rows after `prepare`.

        Raises:
            DataError: There are no rows, or columns, labels or keys are missing; names columns and rows.
        """
        if frame.empty:
            raise DataError(f"Data source {self.path} has no rows.")
        if self.prepare is not None:
            frame = prepared(self.prepare, frame)
        self.require(frame.columns)
        require_values(frame, named_columns(self.label, self.key), str(self.path))
        return frame

    def require(self, columns: Iterable[object]) -> None:
        """Raise a DataError unless label, key and the columns of `wanted` are among `columns`."""
        require_columns(columns, named_columns(self.label, self.key, self.wanted), str(self.path))


def data_files(folder: Path) -> list[Path]:
    """Files with a known suffix below `folder`, sorted, without hidden files and folders."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def files_of_split(folder: Path, split: str) -> list[Path]:
    """``<split>.<suffix>`` in `folder`, else the files of the folder ``<split>``; may be empty."""
    files = [p for p in (folder / f"{split}{suffix}" for suffix in SUFFIXES) if p.is_file()]
    return files or (data_files(folder / split) if (folder / split).is_dir() else [])


def read_all(files: list[Path]) -> "pd.DataFrame":
    """The rows of all files, in the order of their names.

    Raises:
        DataError: A file cannot be read, or its columns differ from those of the first one.
    """
    import pandas as pd

    frames = [_read(file) for file in files]
    expected = list(frames[0].columns)
    for file, frame in zip(files, frames, strict=True):
        if set(frame.columns) != set(expected):
            lacks = sorted(set(expected) - set(frame.columns)) or "nothing"
            extra = sorted(set(frame.columns) - set(expected)) or "nothing"
            raise DataError(
                f"{file} does not have the columns of {files[0]}: it lacks {lacks} and adds {extra}."
            )
    return pd.concat([frame[expected] for frame in frames], ignore_index=True)


def _read(file: Path) -> "pd.DataFrame":
    import pandas as pd

    # JSON has types of its own; with guessed types "01234" and "1234" would be the same key.
    as_written = partial(pd.read_json, dtype=False, convert_dates=False)
    readers: dict[str, Callable[[Path], Any]] = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".json": as_written,
        ".jsonl": partial(as_written, lines=True),
        ".ndjson": partial(as_written, lines=True),
    }
    suffix = file.suffix.lower()
    if suffix not in readers:
        raise DataError(f"{file} ends in {suffix!r}; known endings are {', '.join(SUFFIXES)}.")
    if not file.stat().st_size:
        raise DataError(f"{file} is empty: it has no bytes, so no header and no rows.")
    try:
        frame = readers[suffix](file)
    except (ValueError, OSError) as error:
        raise DataError(f"{file} cannot be read as {suffix[1:]}: {error}") from error
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{file} is not a table of rows.")
    return frame
