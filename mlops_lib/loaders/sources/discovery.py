"""The data files of a folder: all of them, or an error that names the file that cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from mlops_lib.errors import DataError

#: Ending -> format.
FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".feather": "feather", ".arrow": "arrow",
}  # fmt: skip
#: Ending -> compression.
COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst", ".lz4": "lz4"}
ENDINGS = f"{', '.join(FORMATS)}, and .gz, .bz2, .xz, .zst or .lz4 after those of text"
#: Endings of files beside the data: documents, code, settings, images.
OTHER = frozenset(
    """.md .rst .html .htm .pdf .doc .docx .py .ipynb .r .sql .sh .yaml .yml .toml .ini .cfg .conf .log .lock .crc
    .sha256 .md5 .png .jpg .jpeg .gif .webp .bmp .tif .tiff .svg .names .bib .license""".split()
)
#: Beginnings of the names of files that describe the data, whatever their ending.
DESCRIPTIONS = (
    "readme", "license", "licence", "notice", "changelog", "citation", "authors", "makefile", "dockerfile", "notes",
    "dataset_info", "dataset.yaml", "columns.json", "data_dictionary", "datapackage", "croissant", "thumbs.db",
)  # fmt: skip
#: Value of a partition without one, as Hive, Spark and Arrow write it.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class DataFile:
    """One file with rows.

    Attributes:
        path: Where it is on this machine.
        shown: Its name in errors: the path, or the address it came from.
        format: A value of `FORMATS`.
        compression: A value of `COMPRESSIONS`, or empty.
        partition: Column -> text, from folders such as ``region=eu``.
    """

    path: Path
    shown: str
    format: str
    compression: str = ""
    partition: Mapping[str, str | None] = field(default_factory=dict, compare=False)


def format_of(name: str) -> tuple[str, str]:
    """Format and compression of a file's name; the format is empty when the ending is unknown."""
    path = Path(name.lower())
    compression = COMPRESSIONS.get(path.suffix, "")
    return FORMATS.get(Path(path.stem).suffix if compression else path.suffix, ""), compression


def is_beside(name: str) -> bool:
    """Whether a file or folder of this name holds no rows: hidden, a marker (_SUCCESS), a document, an image."""
    lower = name.lower()
    return lower.startswith((".", "_", *DESCRIPTIONS)) or (Path(lower).suffix in OTHER)


def data_file(path: Path, shown: str = "", partition: Mapping[str, str | None] | None = None) -> DataFile:
    """One file that must be data.

    Raises:
        DataError: Its ending is unknown.
    """
    shown = shown or str(path)
    found, compression = format_of(path.name)
    if not found:
        raise DataError(f"{shown} ends in {path.suffix!r}; known endings are {ENDINGS}.")
    return DataFile(path, shown, found, compression, partition or {})


def data_files(folder: Path, shown: str = "") -> list[DataFile]:
    """All data files below a folder, in the order of their paths.

    Raises:
        DataError: A file is neither data nor known to be something else; there are no data files; folders are
            partitioned in part only.
    """
    shown = shown or str(folder)
    found, unknown = [], []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(is_beside(part) for part in parts[:-1]):
            continue
        place = f"{shown}/{'/'.join(parts)}"
        if format_of(path.name)[0] and not is_beside(path.name):
            partition = dict(_partition(part) for part in parts[:-1] if "=" in part)
            found.append(data_file(path, place, partition))
        elif not is_beside(path.name):
            unknown.append(place)
    if unknown:
        raise DataError(
            f"{unknown[0]} may be data and cannot be read: known endings are {ENDINGS}. Convert it, or move it out of "
            f"the folder{_more(unknown)}."
        )
    if not found:
        raise DataError(f"Data source {shown} has no file ending in {ENDINGS}.")
    first = found[0]
    for file in found:
        if set(file.partition) != set(first.partition):
            raise DataError(
                f"{file.shown} has the partitions {sorted(file.partition) or 'none'}, and {first.shown} has "
                f"{sorted(first.partition) or 'none'}. Give all files the same ones."
            )
    return found


def _partition(folder: str) -> tuple[str, str | None]:
    name, _, value = folder.partition("=")
    return unquote(name), None if value == NO_VALUE else unquote(value)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more such files)" if len(names) > 1 else ""
