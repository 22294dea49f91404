"""The fields of a row of the source: each column's JSON values,
by its kind and by the type of the stored values."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from mlops_lib.columns.dates import TIME_OF_DAY, microseconds, wanted_date
from mlops_lib.columns.schema import TEXT_TYPES, Column, Schema
from mlops_lib.columns.text import text_of
from serving.inference.fields import (
    KINDS,
    WANTED,
    Field,
    as_int,
    named_columns,
    of_signature,
    of_tensor,
    plain,
    shape_text,
    whole,
)

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Start of an Arrow type -> kind of the stored values; the first match wins.
STORED = {
    "int": "integer", "uint": "integer", "double": "number", "float": "number", "halffloat": "number",
    "decimal": "number", "bool": "boolean", "timestamp": "datetime", "date": "datetime", "time": "time",
    **dict.fromkeys(TEXT_TYPES, "text"),
}  # fmt: skip
#: Any value but null.
NOT_NULL = str | bool | int | float | list[Any] | dict[str, Any]
EPOCH = datetime(1970, 1, 1)
#: 0 and 1, as a source may store a boolean.
ZERO_OR_ONE = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1, multiple_of=1)]


def fields_of(signature: "ModelSignature | None", source: Schema | None) -> tuple[Field, ...]:
    """The columns that a model takes, in its order.

    Args:
        signature: The model's.
        source: Columns of its training data; None for a model that was logged elsewhere.
    """
    inputs = signature.inputs if signature else None
    if inputs and inputs.is_tensor_spec() and inputs.has_input_names() and len(inputs.inputs) > 1:
        return tuple(map(of_tensor, inputs.inputs))
    named = named_columns(signature)
    features = source.features if source else {}
    names = features if features.keys() >= named.keys() else named
    return tuple(
        _with_gap_texts(_field(features[name], named.get(name)), features[name])
        if name in features
        else of_signature(named[name])
        for name in names
    )


def _with_gap_texts(field: Field, column: Column) -> Field:
    """The field with the texts that mean a missing value; lists and images have none."""
    if not column.missing_texts or field.kind in ("array", "image"):
        return field
    takes_text = field.kind in ("category", "text", "datetime") or column.stored in TEXT_TYPES
    if takes_text:
        return field._replace(gap_texts=column.missing_texts)
    texts: Any = Literal[tuple(sorted(column.missing_texts))]
    return field._replace(type=field.type | texts, shown=field.shown | texts, gap_texts=column.missing_texts)


def _field(column: Column, in_signature: Any) -> Field:
    mlflow_type = getattr(getattr(in_signature, "type", None), "name", "")
    stored = _stored(column.stored) if column.stored else KINDS.get(mlflow_type, "")
    if column.kind in ("category", "text"):
        return _text(column, stored)
    if column.kind in ("array", "sequence"):
        return _array(column)
    if column.kind == "image":
        return plain(column.name, "image", column.nullable)
    made = plain(column.name, column.kind, column.nullable)._replace(infinite=column.infinite)
    if column.kind == "datetime":
        wanted = TIME_OF_DAY if stored == "time" else wanted_date(column.date_order)
        return made._replace(cast=_in_utc if stored == "datetime" else None, wanted=wanted)
    if stored == "text":  # numbers as text, with the kind set in data.columns
        accepted = str | made.type
        return made._replace(
            type=accepted, shown=accepted, wanted=f"{made.wanted}, or its text", cast=text_of, reads=""
        )
    if column.kind == "boolean" and stored in ("integer", "number"):
        accepted = bool | ZERO_OR_ONE
        return made._replace(type=accepted, shown=bool | int, wanted="true, false, 0 or 1", cast=as_int)
    return made


def _stored(arrow_type: str) -> str:
    """Kind of the stored values; "any" for lists and structs."""
    return next((kind for start, kind in STORED.items() if arrow_type.startswith(start)), "any")


def _text(column: Column, stored: str) -> Field:
    """Text, and where the source has numbers, numbers too. Text alone otherwise: 7 may be meant for "07"."""
    accepted: Any = NOT_NULL
    wanted = WANTED["any"]
    cast: Callable[[Any], Any] | None = None
    if stored in ("text", "time"):
        accepted, wanted = str, WANTED["text"]
    elif stored == "datetime":
        accepted, wanted, cast = str, wanted_date(), _in_utc
    elif stored in ("number", "integer"):
        accepted, wanted = str | (whole() if stored == "integer" else float), f"{WANTED[stored]}, or its text"
        cast = as_int if stored == "integer" else float
    elif stored == "boolean":
        accepted, wanted = bool | str, "true, false, or its text"
        cast = _as_bool
    elif not stored:
        accepted, wanted = str | bool | int | float, "text, a number, true or false"
    reads = stored if stored in ("number", "integer", "boolean", "datetime") else ""
    return Field(
        column.name, column.kind, accepted, accepted, wanted, column.nullable, cast=cast, reads=reads
    )


def _array(column: Column) -> Field:
    """Lists of numbers. Older models have the width of a column, and no shape."""
    shape = column.shape or ((column.width,) if column.width else (-1,))
    if column.kind == "sequence":
        shape = (-1, *shape[1:])
    items: Any = Any
    for size in reversed(shape):
        items = list[items] if size < 0 else Annotated[list[items], Meta(min_length=size, max_length=size)]
    if len(shape) > 1:
        wanted = f"numbers of shape {shape_text(shape)}, in lists"
    else:
        wanted = f"a list of {shape[0]} numbers" if shape[0] > 0 else "a list of numbers"
    return Field(column.name, "array", items, items, wanted, column.nullable, "FP64", sizes=shape)


def _as_bool(value: bool | str) -> bool:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError(f"{value!r} is neither true nor false")
        return value == "true"
    return value


def _in_utc(value: str | datetime) -> datetime:
    """A date or time in UTC without a zone, as the training data have it."""
    return EPOCH + timedelta(microseconds=microseconds(value))
