"""A file with rows, and what the ending of its name says about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_lib.errors import DataError

#: Ending -> format.
FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".feather": "feather", ".arrow": "arrow",
}  # fmt: skip
#: Ending -> compression.
COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst", ".lz4": "lz4", ".zip": "zip"}
ENDINGS = f"{', '.join(FORMATS)}, and .gz, .bz2, .xz, .zst, .lz4 or .zip after those of text"


@dataclass(frozen=True)
class DataFile:
    """One file with rows.

    Attributes:
        path: Where it is on this machine.
        shown: Its name in errors: the path, or the address it came from.
        format: A value of `FORMATS`.
        compression: A value of `COMPRESSIONS`, or empty.
        partition: Column -> text, from folders such as ``region=eu``.
        prefix: Of a folder of images: what the keys of its images start with.
    """

    path: Path
    shown: str
    format: str
    compression: str = ""
    partition: Mapping[str, str | None] = field(default_factory=dict, compare=False)
    prefix: str = ""


def format_of(name: str) -> tuple[str, str]:
    """Format and compression of a file's name; the format is empty when the ending is unknown."""
    path = Path(name.lower())
    compression = COMPRESSIONS.get(path.suffix, "")
    return FORMATS.get(Path(path.stem).suffix if compression else path.suffix, ""), compression


def data_file(path: Path, shown: str = "", partition: Mapping[str, str | None] | None = None) -> DataFile:
    """One file that must be data.

    Raises:
        DataError: Its ending is unknown.
    """
    shown = shown or str(path)
    found, compression = format_of(path.name)
    if not found:
        raise DataError(
            f"{shown} ends in {path.suffix!r}; known endings are {ENDINGS}. Rename or convert it: a program for sheets "
            "can save one as CSV."
        )
    return DataFile(path, shown, found, compression, partition or {})
