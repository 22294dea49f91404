"""Rows of a folder of images with a folder for each class: the file, and the name of its folder as label."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING
from unicodedata import normalize

from mlops_lib.columns.memory import PART_BYTES
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile

#: Columns of the rows: path relative to the source, bytes of the file, and class.
KEY, IMAGE, LABEL = COLUMNS = ("key", "image", "label")
#: Files that systems leave in folders.
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def is_image_row(name: str) -> bool:
    """Whether a file of this relative path is a row: hidden files and those of the system are none."""
    parts = name.split("/")
    return (
        not any(part.startswith((".", "__MACOSX")) for part in parts)
        and parts[-1].lower() not in SYSTEM_FILES
    )


class ImageFolder:
    """The images below a folder, in the order of their paths. The first folder below it is the class.

    Keys and classes are in Unicode's composed form, whatever the file system keeps.

    Args:
        file: The folder.
    """

    names = COLUMNS

    def __init__(self, file: "DataFile") -> None:
        self._file, self._prefix = file, file.prefix

    @property
    def columns(self) -> dict[str, "pa.DataType"]:
        """The type of each column."""
        import pyarrow as pa

        return {KEY: pa.string(), IMAGE: pa.binary(), LABEL: pa.string()}

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        """(key, path relative to the folder) of each image."""
        root = self._file.path
        names = (path.relative_to(root).as_posix() for path in root.rglob("*/*") if path.is_file())
        found = sorted((normalize("NFC", name), name) for name in names if is_image_row(name))
        for (key, name), (other, after) in pairwise(found):
            if key == other:
                raise DataError(
                    f"{self._file.shown} has {name!r} and {after!r}, which have one name in Unicode's composed form. Rename one."
                )
        return [(f"{self._prefix}{key}", name) for key, name in found]

    @property
    def rows(self) -> int:
        """Number of images."""
        return len(self._names)

    def tables(self, kinds: "Mapping[str, pa.DataType]", rows: int) -> Iterator["pa.Table"]:
        """The rows in order with the columns of `kinds`, at most `rows` and about `PART_BYTES` at a time."""

        held: list[tuple[str, bytes, str]] = []
        size, cut = 0, len(self._prefix)
        for key, name in self._names:
            file = (self._file.path / name).read_bytes() if IMAGE in kinds else b""
            held.append((key, file, key[cut:].partition("/")[0]))
            size += len(file)
            if len(held) >= rows or size >= PART_BYTES:
                yield _table(held, kinds)
                held, size = [], 0
        if held:
            yield _table(held, kinds)


def _table(held: list[tuple[str, bytes, str]], kinds: "Mapping[str, pa.DataType]") -> "pa.Table":
    import pyarrow as pa

    columns = dict(zip(COLUMNS, zip(*held, strict=True), strict=True))
    return pa.table({name: pa.array(columns[name], kind) for name, kind in kinds.items() if name in columns})
