"""The canonical texts of a whole Arrow column, as `columns.text.text_of` gives them value by value."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def texts(column: "pa.Array | pa.ChunkedArray") -> "pa.Array":
    """The text of each value, null where there is none. NaN counts as no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops_lib.columns.text import text_of

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts(column.dictionary).take(column.indices)
    if pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = column.drop_null()
        if pc.all(pc.and_(pc.equal(pc.round(whole), whole), pc.less(pc.abs(whole), 2.0**62))).as_py():
            return column.cast(pa.int64()).cast(pa.string())
    try:
        coded = column.dictionary_encode()
    except pa.ArrowNotImplementedError:  # nested values
        return pa.array([_text(value, text_of) for value in column.to_pylist()], pa.string())
    known = pa.array([_text(value, text_of) for value in coded.dictionary.to_pylist()], pa.string())
    return known.take(coded.indices)


def _text(value: Any, text_of: Any) -> str | None:
    return None if value is None else text_of(value)
