"""Checks that every loader makes of its rows: columns and values that must be there."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from mlops_lib.columns.alike import as_seen
from mlops_lib.columns.images import ImageFile
from mlops_lib.columns.part import BadValue
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

Prepare = Callable[["pd.DataFrame"], "pd.DataFrame"]


def prepared(prepare: Prepare, frame: "pd.DataFrame") -> "pd.DataFrame":
    """The rows after `prepare`.

    Raises:
        DataError: `prepare` returned something else than a DataFrame, or a column whose name is no text.
    """
    made = prepare(frame)
    name = getattr(prepare, "__name__", prepare)
    if not hasattr(made, "columns"):
        raise DataError(f"data.prepare {name} returned a {type(made).__name__}, not a DataFrame.")
    if odd := [column for column in made.columns if not isinstance(column, str)]:
        raise DataError(
            f"data.prepare {name} returned a column named {odd[0]!r}. Give it a text as its name."
        )
    return made


def require_columns(found: Iterable[object], wanted: Mapping[str, str], where: str) -> None:
    """Raise a DataError unless each of `wanted` (column -> the setting that names it) is in `found`."""
    columns = list(found)
    if missing := [column for column in wanted if column not in columns]:
        named = ", ".join(f"{column!r} ({wanted[column]})" for column in missing)
        raise DataError(
            f"{where} has no column {named}. Columns it has: {', '.join(map(str, columns))}.{look_alike(missing, columns)}"
        )


def look_alike(missing: Iterable[str], columns: Iterable[object]) -> str:
    """The end of an error message: columns that are written with other characters, and look the same or differ in case alone."""
    names, said = [name for name in columns if isinstance(name, str)], ""
    seen = {as_seen(name): name for name in names}
    folded = {as_seen(name).casefold(): name for name in names}
    for wanted in missing:
        if found := seen.get(as_seen(wanted)):
            said += f" {wanted!r} and {found!a} look the same: rename the column in the source, or copy its name from there."
        elif found := folded.get(as_seen(wanted).casefold()):
            said += f" {wanted!r} and {found!r} differ in upper and lower case alone: rename one of them."
    return said


def require_values(
    frame: "pd.DataFrame", columns: Iterable[str], where: str, labels: Iterable[str] = ()
) -> None:
    """Raise a DataError that names the rows (by their index) in which one of `columns` has no value."""
    for column in columns:
        if (empty := frame[column].isna()).any():
            raise missing_values(column, int(empty.sum()), frame.index[empty][:10], where, column in labels)


def require_whole_objects(table: "pa.Table", columns: Iterable[str], split: str, first_row: int) -> None:
    """Raise a DataError if an object of the reference has a null: Arrow gives all objects of a column the same fields."""
    for name in columns:
        if not _null_field(whole := table[name].combine_chunks()):
            continue
        row, field = next((i, f) for i in range(len(whole)) if (f := _null_field(whole.slice(i, 1))))
        raise DataError(
            f"Split {split!r}, row {first_row + row} (counted from 0): an object of column {name!r} has null as {field!r}. "
            "Parquet and Arrow give all objects of a column the same fields, so an absent field is null there. Write the "
            "column as JSON text."
        )


def with_files(table: "pa.Table", schema: Schema, split: str, first_row: int) -> "pa.Table":
    """The rows with the bytes of images in the place of base64.

    Raises:
        DataError: A text is no base64; names the row.
    """
    import pyarrow as pa

    for column in schema.features.values():
        place = table.column_names.index(column.name) if column.kind == "image" else -1
        if place < 0 or not pa.types.is_string(table.schema.types[place]):
            continue
        part, values = ImageFile(column, {}), table[column.name].to_pylist()
        try:
            made = [None if one is None else part.file(row, one) for row, one in enumerate(values, first_row)]
        except BadValue as error:
            raise DataError(
                f"Split {split!r}: {error} The loader images reads paths: data.loader: images."
            ) from None
        table = table.set_column(place, column.name, pa.array(made, pa.binary()))
    return table


def _null_field(values: "pa.Array") -> str:
    """The name of the first field that is null in an object, also inside lists and objects; "" for none."""
    import pyarrow as pa

    if pa.types.is_list(values.type):
        return _null_field(values.flatten())
    if not pa.types.is_struct(values.type):
        return ""
    parts = dict(zip(values.type.names, values.drop_null().flatten(), strict=True))
    nulls = (name for name, part in parts.items() if part.null_count)
    return next(nulls, "") or next(filter(None, map(_null_field, parts.values())), "")


def is_missing(column: "pa.ChunkedArray") -> "np.ndarray":
    """Which rows (bool [rows]) have no value; NaN is none."""
    import pyarrow as pa

    nan = pa.types.is_floating(column.type)
    return column.is_null(nan_is_null=nan).combine_chunks().to_numpy(zero_copy_only=False)


def count_missing(column: "pa.ChunkedArray") -> tuple[int, list[int]]:
    """How many rows have no value, and the positions of the first ten."""
    missing = is_missing(column).nonzero()[0]
    return len(missing), missing[:10].tolist()


def missing_values(
    column: str, count: int, first: Iterable[object], where: str, is_label: bool = False
) -> DataError:
    """The error for `count` rows without a value in `column`."""
    remedy = (
        "Set data.missing_label: drop to leave them out."
        if is_label
        else "Fill them in the source, or set data.key to a column that every row has (or to none)."
    )
    return DataError(
        f"{where}: {count} rows have no {column!r}; the first are rows {', '.join(map(str, first))}, counted from 0. "
        f"{remedy}"
    )


def named_columns(labels: Iterable[str], key: str, features: Iterable[str] = ()) -> dict[str, str]:
    """Columns that config.yaml names -> the setting that names them."""
    named = dict.fromkeys(labels, "data.label") | ({key: "data.key"} if key else {})
    return named | dict.fromkeys((name for name in features if name not in named), "data.features")
