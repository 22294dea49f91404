"""Columns of folders such as ``region=eu``: added to the rows of the files in them, or compared with a column there."""

import contextlib
from typing import TYPE_CHECKING

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.types import Place, conform

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile


def with_partition(
    part: "pa.Table",
    file: "DataFile",
    kinds: "dict[str, pa.DataType]",
    missing: tuple[str, ...],
    first_row: int,
) -> "pa.Table":
    """Rows of a file with the columns of its folders, in the order of `kinds`.

    Args:
        part: Some rows of the file.
        file: The file.
        kinds: Name -> type of each wanted column.
        missing: Texts that are no value.
        first_row: Position of the first of the rows in the file.

    Raises:
        DataError: The file has such a column too, with another value.
    """
    import pyarrow as pa

    own = set(part.column_names)
    for name in (name for name in kinds if name in file.partition):
        text, kind = file.partition[name], kinds[name]
        if name in own:
            _require_same(
                part[name], text if text not in missing else None, file, Place(file.shown, name, first_row)
            )
            continue
        value = _value(text, kind, Place(file.shown, name))
        part = part.append_column(name, pa.repeat(value, len(part)))
    return part.select(list(kinds))


def _value(text: str | None, kind: "pa.DataType", place: Place) -> "pa.Scalar":
    import pyarrow as pa

    value = pa.array([text], pa.string())
    if kind in (pa.int64(), pa.float64(), pa.bool_()):
        value = value.cast(kind)
    return conform(value, kind, place)[0]


def _require_same(column: "pa.ChunkedArray", text: str | None, file: "DataFile", place: Place) -> None:
    """Check that the file's column has the value of the folder in every row: as text, or as its own type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops_lib.loaders.texts import texts

    if text is None:
        same = column.is_null(nan_is_null=True)
    else:
        same = pc.fill_null(pc.equal(texts(column), text), False)
        if not pc.all(same).as_py():
            with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError, DataError):  # 01 is 1
                same = pc.fill_null(pc.equal(column, _value(text, column.type, place)), False)
    if (row := pc.index(same, False).as_py()) < 0:
        return
    value = column[row].as_py()
    raise DataError(
        f"{file.shown}, row {place.first_row + row} (counted from 0): column {place.column!r} has "
        f"{'no value' if value is None else repr(value)}, and the folder {place.column}="
        f"{text if text is not None else '__HIVE_DEFAULT_PARTITION__'} says {'no value' if text is None else repr(text)}. "
        "Move the row to the folder of its value, or rename the column or the folder."
    )
