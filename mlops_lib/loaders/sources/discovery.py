"""The data files of a folder: all of them, or an error that names the file that cannot be read."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.data_file import ENDINGS, DataFile, data_file, format_of

#: Endings of files beside the data: documents, code, settings, images.
OTHER = (
    ".md", ".rst", ".html", ".htm", ".pdf", ".doc", ".docx", ".py", ".ipynb", ".r", ".sql", ".sh", ".yaml", ".yml",
    ".toml", ".ini", ".cfg", ".conf", ".log", ".lock", ".crc", ".sha256", ".md5", ".png", ".jpg", ".jpeg", ".gif",
    ".webp", ".bmp", ".tif", ".tiff", ".svg", ".names", ".bib", ".license",
)  # fmt: skip
#: Names without their ending of documents that have no ending of data.
DOCUMENTS = {
    "readme", "license", "licence", "notice", "changelog", "citation", "authors", "makefile", "dockerfile", "notes",
    "thumbs",
}  # fmt: skip
#: Names of files that describe the data, in a format of data.
DESCRIPTIONS = {
    "columns.json", "dataset_info.json", "dataset_infos.json", "datapackage.json", "croissant.json", "state.json",
}  # fmt: skip
#: Value of a partition without one, as Hive, Spark and Arrow write it.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def is_beside(name: str) -> bool:
    """Whether a file of this name holds no rows: hidden, a marker (_SUCCESS), a document, an image,
    a description."""
    lower = name.lower()
    if format_of(lower)[0]:
        return lower.startswith(".") or lower in DESCRIPTIONS
    return lower.startswith((".", "_")) or Path(lower).suffix in OTHER or lower.split(".")[0] in DOCUMENTS


def names_below(folder: Path) -> list[str]:
    """The relative paths of all files below a folder.

    Raises:
        DataError: A link leads to a folder, or nowhere.
    """
    names = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file():
            names.append(name.as_posix())
        elif path.is_symlink() and not any(part.startswith((".", "_")) for part in name.parts):
            raise DataError(
                f"{path} is a link to a folder, or to nothing, and is not followed. Move it out of the folder, or put "
                "the files themselves there."
            )
    return names


def data_files(folder: Path, names: Iterable[str], shown: str) -> list[DataFile]:
    """The data files among `names`, in the order of their paths.

    Args:
        folder: Folder that the files are in, or will be.
        names: Paths relative to it.
        shown: Name of the folder in errors.

    Raises:
        DataError: A file is neither data nor known to be something else; there are no data files; folders are
            partitioned in part only.
    """
    found, unknown = [], []
    for name in sorted(names, key=lambda name: name.split("/")):
        *parts, own = name.split("/")
        if any(part.startswith((".", "_")) for part in parts) or is_beside(own):
            continue
        if not format_of(own)[0] or own.startswith("_"):
            unknown.append(f"{shown}/{name}")
            continue
        partition = dict(_partition(part) for part in parts if "=" in part)
        found.append(data_file(folder / name, f"{shown}/{name}", partition))
    if unknown:
        more = f" (and {len(unknown) - 1} more such files)" if len(unknown) > 1 else ""
        raise DataError(
            f"{unknown[0]} may be data and is not read: known endings are {ENDINGS}, and names start with no '_'. Rename "
            f"or convert it, or move it out of the folder{more}."
        )
    if not found:
        raise DataError(f"Data source {shown} has no data file: known endings are {ENDINGS}.")
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
