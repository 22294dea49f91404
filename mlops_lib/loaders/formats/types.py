"""The physical types of a dataset: every Arrow type has one canonical type, and a column has one over all files."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mlops_lib.errors import DataError
from mlops_lib.loaders.texts import texts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Floats tell all integers up to this one apart.
EXACT = 2**53


class Place(NamedTuple):
    """Where values come from, for errors: a file (or query), a column, and the position of the first value."""

    file: str
    column: str
    first_row: int = 0


def canonical(kind: "pa.DataType", key: bool = False) -> "pa.DataType":
    """The physical type for values of an Arrow type.

    Integers are int64, other numbers float64, instants timestamp[us] in UTC without a zone. Lists, structs and the
    like keep their form.

    Args:
        kind: Type in the source.
        key: The column is the key: decimals and integers beyond int64 become text, so that no digit is lost.
    """
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return canonical(kind.value_type, key)
    if key and kind == pa.uint64():
        return pa.string()
    if is_.is_integer(kind):
        return pa.int64()
    if is_.is_decimal(kind):
        return pa.string() if key else pa.float64()
    if is_.is_floating(kind):
        return pa.float64()
    if is_.is_date(kind) or is_.is_timestamp(kind):
        return pa.timestamp("us")
    if kind == pa.time64("ns"):  # pandas has microseconds
        return pa.time64("us")
    if is_.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind) or kind == pa.binary_view():
        return pa.binary()
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return pa.list_(canonical(kind.value_type))
    return pa.string() if _is_hollow(kind) else kind


def _is_hollow(kind: "pa.DataType") -> bool:
    """Whether a struct without fields is in it, which Parquet cannot store."""
    import pyarrow as pa

    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return (pa.types.is_struct(kind) and not inner) or any(map(_is_hollow, inner))


def wider(one: "pa.DataType", other: "pa.DataType") -> "pa.DataType | None":
    """The canonical type that holds the values of two canonical types; None if there is none.

    Numbers and text meet as text; text and instants meet as instants, if every text is one.
    """
    import pyarrow as pa

    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) and pa.types.is_list(other):
        inner = wider(one.value_type, other.value_type)
        return pa.list_(inner) if inner else None
    pair = {one, other}
    if pair == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pair in ({pa.int64(), pa.string()}, {pa.float64(), pa.string()}):
        return pa.string()
    if pair == {pa.timestamp("us"), pa.string()}:
        return pa.timestamp("us")
    return None


def conform(column: "pa.Array", kind: "pa.DataType", place: Place) -> "pa.Array":
    """Values as the canonical type `kind`.

    Raises:
        DataError: A value cannot be held by it; names file, column, row and value.
    """
    import pyarrow as pa

    if column.type == kind:
        return column
    try:
        return _cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        for row, value in enumerate(column):
            try:
                _cast(column.slice(row, 1), kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise conflict(place._replace(first_row=place.first_row + row), _shown(value), kind) from None
        raise DataError(f"{place.file}: column {place.column!r} cannot be read as {kind}: {error}") from None


def _shown(value: "pa.Scalar") -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError):  # a time that Python does not have
        return value.cast("int64").as_py()


def conflict(place: Place, value: object, kind: "pa.DataType") -> DataError:
    """The error for a value that the type of its column cannot hold."""
    remedy = "Write the column with one type in all files."
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        remedy = "Write the column as text if it holds ids, or as float64."
    return DataError(
        f"{place.file}, row {place.first_row} (counted from 0): column {place.column!r} has {value!r}, which "
        f"does not fit its type {kind}. {remedy}"
    )


def as_frame(table: "pa.Table", gaps: Iterable[str]) -> "pd.DataFrame":
    """Rows as a DataFrame whose types do not depend on which rows are in it.

    An integer column with a missing value in any row (`gaps`) is float64; a boolean one has objects.
    """
    import pyarrow as pa

    kinds = dict(zip(table.column_names, table.schema.types, strict=True))
    wider = {pa.int64(): "float64", pa.bool_(): "object"}
    changed = {name: wider[kinds[name]] for name in gaps if name in kinds and kinds[name] in wider}
    made = table.to_pandas(ignore_metadata=True)
    return made.astype(changed, copy=False) if changed else made


def frame_for_prepare(table: "pa.Table", gaps: Iterable[str]) -> "pd.DataFrame":
    """Rows as ``data.prepare`` gets them: as of `as_frame`, and integers with gaps that floats cannot tell apart
    are pandas' Int64."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    made = as_frame(table, gaps)
    for name in gaps:
        if name in made and table[name].type == pa.int64():
            ends = pc.min_max(table[name]).as_py()
            if max(abs(end or 0) for end in ends.values()) > EXACT:
                made[name] = table[name].to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return made


def _cast(column: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_string(kind):
        return texts(column)
    if pa.types.is_timestamp(kind):
        return _instants(column, kind)
    if pa.types.is_decimal(column.type):  # Arrow's own cast gives 5.1000000000000005 for 5.10
        return column.cast(pa.string()).cast(kind)
    if pa.types.is_list(kind) or pa.types.is_time(kind):
        return column.cast(kind, safe=False)
    return column.cast(kind)


def _instants(column: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:  # with a zone
            return column.cast(pa.timestamp("us", "UTC")).cast(kind)
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
    # Nanoseconds are cut off; seconds that microseconds cannot count are an error.
    return column.cast(kind, safe=column.type != pa.timestamp("ns"))
