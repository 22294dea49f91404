"""Find and read tables on disk: Parquet, CSV, JSON and JSON Lines."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")


def data_files(folder: Path) -> list[Path]:
    """Files of the known kinds below `folder`, sorted; hidden ones and what is in hidden folders left out."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def files_of_split(folder: Path, split: str) -> list[Path]:
    """``<split>.<ending>`` in `folder`, else the files of the folder ``<split>``; empty where there is neither."""
    files = [p for p in (folder / f"{split}{suffix}" for suffix in SUFFIXES) if p.is_file()]
    return files or (data_files(folder / split) if (folder / split).is_dir() else [])


def read_all(files: list[Path]) -> "pd.DataFrame":
    """The rows of all files, in the order of their names.

    Raises:
        DataError: A file cannot be read, or its columns are not those of the first one.
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

    # JSON has types of its own; guessing others would make one key of "01234" and "1234".
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
    try:
        frame = readers[suffix](file)
    except (ValueError, OSError) as error:
        raise DataError(f"{file} cannot be read as {suffix[1:]}: {error}") from error
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{file} is not a table of rows.")
    return frame
