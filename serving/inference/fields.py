"""The fields of a request's row: the model's columns, by the kinds of the training data or by the signature."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from msgspec import Meta

from mlops_lib.columns.schema import Column, Schema

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LARGEST = 2**63 - 1
#: MLflow's column type -> kind of the values.
KINDS = {
    "boolean": "boolean", "integer": "integer", "long": "integer", "float": "number", "double": "number",
    "string": "text", "binary": "binary", "datetime": "datetime",
}  # fmt: skip
WANTED = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "text",
    "text": "text",
    "binary": "text in base64",
    "datetime": "a date or time in ISO form, such as 2026-01-31 or 2026-01-31T08:00:00",
    "any": "a value that the model takes",
}
#: Open Inference Protocol's datatype of each kind; that of a narrow column is in the signature.
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}
NARROW = {"integer": "INT32", "float": "FP32"}
#: Texts that mean "missing" in a CSV, in columns of these kinds.
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))
READ_AS = ("number", "integer", "boolean", "datetime")


class Field(NamedTuple):
    """One column of the model.

    Attributes:
        name: As in the source.
        kind: One of `WANTED`, "array" or "image".
        type: Type of the JSON value, for msgspec; without null.
        shown: The same for OpenAPI. JSON's 3.0 is an integer, but Python's is none.
        wanted: What the column takes, for errors and OpenAPI.
        nullable: Whether null is accepted, and a row may leave the column out.
        datatype: Of its tensors in the Open Inference Protocol.
        cast: Makes the value that the model's own DataFrame has; None: the JSON value is that. Raises ValueError.
        width: Number of values in a list; 0: any.
    """

    name: str
    kind: str
    type: Any
    shown: Any
    wanted: str
    nullable: bool
    datatype: str = "BYTES"
    cast: Callable[[Any], Any] | None = None
    width: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a value in the Open Inference Protocol."""
        return (self.width or -1,) if self.kind == "array" else ()

    def read(self, text: str) -> Any:
        """A cell of a CSV; None if it is missing, and the text itself if it does not fit the column."""
        word = text.strip().lower()
        if text == "" or (self.kind in READ_AS and word in MISSING):
            return None
        try:
            if self.kind == "integer":
                return int(text)
            if self.kind == "number":
                return float(text)
        except ValueError:
            return text
        return {"true": True, "false": False}.get(word, text) if self.kind == "boolean" else text


def named_columns(signature: "ModelSignature | None") -> dict[str, Any]:
    """The named columns of a signature, in order; none for a signature of tensors, or without one."""
    inputs = signature.inputs if signature else None
    if not inputs or inputs.is_tensor_spec() or not inputs.has_input_names():
        return {}
    return {column.name: column for column in inputs.inputs}


def fields_of(signature: "ModelSignature | None", schema: Schema | None) -> tuple[Field, ...]:
    """The columns that a model takes, in its order.

    Args:
        signature: The model's.
        schema: Of its training data; None for a model that was logged elsewhere.
    """
    named = named_columns(signature)
    features = schema.features if schema else {}
    names = features if features.keys() >= named.keys() else named
    return tuple(
        _of_column(features[name], named.get(name)) if name in features else _of_signature(named[name])
        for name in names
    )


def whole(bits: int = 64) -> Any:
    """Type of a whole number of `bits` bits; 3.0 is one."""
    end = 2.0 ** (bits - 1)
    return _int(bits) | Annotated[float, Meta(multiple_of=1, ge=-end, lt=end)]


def _int(bits: int) -> Any:
    return Annotated[int, Meta(ge=-(2 ** (bits - 1)), le=2 ** (bits - 1) - 1)]


def _of_signature(column: Any) -> Field:
    mlflow_type = getattr(column.type, "name", "any")
    kind = KINDS.get(mlflow_type, "any")
    made = _plain(column.name, kind, not column.required, 32 if mlflow_type == "integer" else 64)
    return made._replace(datatype=NARROW.get(mlflow_type, made.datatype))


def _of_column(column: Column, in_signature: Any) -> Field:
    mlflow_type = getattr(getattr(in_signature, "type", None), "name", "")
    stored = KINDS.get(mlflow_type, "any" if in_signature else "")
    if column.kind in ("category", "text"):
        return _text(column, stored)
    if column.kind == "array":
        return _array(column)
    made = _plain(column.name, "any" if column.kind == "image" else column.kind, column.nullable)
    return made._replace(cast=_in_utc) if column.kind == "datetime" else made


def _plain(name: str, kind: str, nullable: bool, bits: int = 64) -> Field:
    types: dict[str, Any] = {
        "number": float, "integer": whole(bits), "boolean": bool, "text": str, "binary": bytes, "datetime": str,
    }  # fmt: skip
    accepted = types.get(kind, Any)
    return Field(
        name,
        kind,
        accepted,
        _int(bits) if kind == "integer" else accepted,
        WANTED[kind] + (f" of {bits} bits" if bits != 64 else ""),
        nullable,
        DATATYPES.get(kind, "BYTES"),
        {"integer": _as_int, "datetime": _time}.get(kind),
    )


def _text(column: Column, stored: str) -> Field:
    """Text, and where the source has numbers, numbers too. Text alone otherwise: 7 may be meant for "07".

    Args:
        stored: Kind of the stored values; "" if it is not known.
    """
    accepted: Any = Any
    wanted, cast = WANTED["any"], None
    if stored == "text":
        accepted, wanted = str, "text"
    elif stored in ("number", "integer"):
        accepted, wanted = str | (whole() if stored == "integer" else float), f"{WANTED[stored]}, or its text"
        cast = _as_int if stored == "integer" else float
    elif stored == "boolean":
        accepted, wanted = bool | str, "true, false or text"
    elif not stored:
        accepted, wanted = str | bool | int | float, "text, a number, true or false"
    return Field(column.name, column.kind, accepted, accepted, wanted, column.nullable, cast=cast)


def _array(column: Column) -> Field:
    items: Any = list[Any]
    if column.width:
        items = Annotated[items, Meta(min_length=column.width, max_length=column.width)]
    wanted = f"a list of {column.width} values" if column.width else "a list"
    return Field(column.name, "array", items, items, wanted, column.nullable, "FP64", width=column.width)


def _as_int(value: float | str) -> int:
    return int(value)


def _time(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _in_utc(value: str | datetime) -> datetime:
    """A date or time in UTC without a zone, as the training data have it."""
    time = _time(value)
    try:
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except OverflowError as error:
        raise ValueError(str(error)) from None
