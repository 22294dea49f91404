"""Rows of tables whose images are in files beside them, or in structs as Hugging Face writes them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.image_folder import KEY
from mlops_lib.loaders.rows import Rows
from mlops_lib.loaders.sources import Source
from mlops_lib.loaders.sources.image_source import ENDINGS, ImagesBeside

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile

#: First values that tell whether a column has paths; rows whose images are read together;
#: paths that an error lists.
SHOWN, PART_ROWS, LISTED = 10, 256, 10


class ImageRows:
    """`Rows` of tables, with the bytes of the images that they name by paths relative to the table's folder.

    Without a key, the path is one, in the column ``key``.

    Args:
        source: Of the tables.
        files: The tables.
        key: Column of entity keys; "": none.
        labels: Columns to predict.
        more: Further arguments of `Rows`.
    """

    def __init__(
        self, source: Source, files: "Sequence[DataFile]", key: str, labels: Collection[str], **more: Any
    ) -> None:
        self._stored = Rows(files, key, labels=labels, **more)
        self._beside = {file: ImagesBeside(source, file) for file in self._stored.files}
        self._key, self._labels = key, labels

    @cached_property
    def schema(self) -> "pa.Schema":
        """The columns in order, with one type each."""
        import pyarrow as pa

        made = self._stored.schema
        if not self.image_columns and not any(map(_is_binary, made.types)):
            raise DataError(
                f"{self._stored.files[0].shown} has no column with paths of images ({', '.join(ENDINGS)}) and none with the bytes of "
                f"files. Columns it has: {', '.join(made.names)}."
            )
        for name in self.image_columns:
            made = made.set(made.get_field_index(name), pa.field(name, pa.binary()))
        return made.append(pa.field(KEY, pa.string())) if self.adds_key else made

    @property
    def doubts(self) -> list[str]:
        """See `Rows.doubts`."""
        return self._stored.doubts

    def doubt_of_zones(self, name: str) -> str:
        """See `Rows.doubt_of_zones`."""
        return self._stored.doubt_of_zones(name)

    def written(self, name: str) -> set[str]:
        """See `Rows.written`."""
        return self._stored.written(name)

    @property
    def image_columns(self) -> list[str]:
        """The columns of paths, and of structs."""
        return [*self._paths, *self._structs]

    @cached_property
    def images(self) -> Mapping[str, "Path | str"]:
        """Name of each image that the rows name -> its path, or its version on the server."""
        return {
            f"{beside.folder.name}/{name}": beside.version(name)
            for file, beside in self._beside.items()
            for name in self._found[file].values()
        }

    @property
    def gaps(self) -> frozenset[str]:
        """Columns that may have a missing value in any file."""
        return self._stored.gaps

    def count(self, files: "Iterable[DataFile] | None" = None) -> int:
        """Number of rows of `files` (None: of all)."""
        return self._stored.count(files)

    def tables(
        self, columns: Sequence[str] | None = None, files: "Iterable[DataFile] | None" = None
    ) -> Iterator["pa.Table"]:
        """`Rows.tables`, a few rows at a time."""
        wanted = list(columns or self.schema.names)
        stored = [self._paths[0] if name == KEY and self.adds_key else name for name in wanted]
        for file in files or self._stored.files:
            for part in self._stored.tables(list(dict.fromkeys(stored)), [file]):
                for at in range(0, len(part), PART_ROWS):
                    yield self._with_images(part.slice(at, PART_ROWS), file, wanted)

    def _with_images(self, part: "pa.Table", file: "DataFile", wanted: Sequence[str]) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc

        made = {}
        for name in wanted:
            if name == KEY and self.adds_key:
                made[name] = part[self._paths[0]]
            elif name in self._paths:
                names = [self._found[file].get(path) for path in part[name].to_pylist()]
                made[name] = pa.chunked_array([pa.array(self._beside[file].read(names), pa.binary())])
            elif name in self._structs:
                made[name] = pc.struct_field(part[name], "bytes").cast(pa.binary())
            else:
                made[name] = part[name]
        return pa.table(made)

    @property
    def adds_key(self) -> bool:
        """Whether the path is a column that the tables do not have."""
        return bool(self._paths) and self._key in ("", KEY) and KEY not in self._stored.schema.names

    @cached_property
    def _structs(self) -> list[str]:
        """Columns of structs with the bytes of a file."""
        import pyarrow as pa

        return [
            field.name
            for field in self._stored.schema
            if pa.types.is_struct(field.type)
            and "bytes" in field.type.names
            and _is_binary(field.type.field("bytes").type)
        ]

    @cached_property
    def _paths(self) -> list[str]:
        """Columns of texts, of which the first name images."""
        import pyarrow as pa

        texts = [field.name for field in self._stored.schema if pa.types.is_string(field.type)]
        texts = [name for name in texts if name not in self._labels]
        first = next(self._stored.tables(texts, self._stored.files[:1]), None) if texts else None
        if first is None:
            return []
        shown = {name: first[name].drop_null()[:SHOWN].to_pylist() for name in texts}
        return [
            name
            for name, values in shown.items()
            if values and all(value.lower().endswith(ENDINGS) for value in values)
        ]

    @cached_property
    def _found(self) -> "Mapping[DataFile, Mapping[str, str]]":
        """Of each table, path as written -> name of the file.

        Raises:
            DataError: Files are missing; names the first ten.
        """
        found: dict[DataFile, dict[str, str]] = {file: {} for file in self._stored.files}
        missing: list[str] = []
        for file, beside in self._beside.items():
            row = 0
            for part in self._stored.tables(self._paths, [file]) if self._paths else ():
                for name in self._paths:
                    for at, path in enumerate(part[name].to_pylist(), start=row):
                        if path is None or path in found[file]:
                            continue
                        if real := beside.name(path):
                            found[file][path] = real
                        else:
                            missing.append(f"  {file.shown}, row {at}: {name!r} is {path!r}")
                row += len(part)
        if missing:
            more = f"\n... and {len(missing) - LISTED} more." if len(missing) > LISTED else ""
            raise DataError(
                f"{len(missing)} paths of images lead to no file:\n"
                + "\n".join(missing[:LISTED])
                + f"{more}\n"
                "Paths are relative to the folder of their table, and stay inside it."
            )
        return found


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
