"""The fields of a request's row: the model's columns, their JSON types and errors."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.images import ImageFile
from mlops_lib.loaders.formats.cells import PATTERNS, TOKENS

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
    "image": ImageFile.wanted,
    "datetime": "a date or time in ISO form, such as 2026-01-31 or 2026-01-31T08:00:00",
    "any": "a value that the model takes",
}
#: Open Inference Protocol's datatype of each kind; that of a narrow column is in the signature.
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}
NARROW = {"integer": "INT32", "float": "FP32"}
#: NumPy's dtype -> datatype, for a signature of tensors.
NUMPY = {
    "bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
INTEGER, NUMBER = (re.compile(PATTERNS[name]) for name in ("integer", "point"))


class Field(NamedTuple):
    """One column of the model.

    Attributes:
        name: As in the source.
        kind: One of `WANTED`, or "array".
        type: Type of the JSON value, for msgspec; without null.
        shown: The same for OpenAPI. JSON's 3.0 is an integer, but Python's is none.
        wanted: What the column takes, for errors and OpenAPI.
        nullable: Whether null is accepted, and a row may leave the column out.
        from_signature: Whether MLflow's signature alone describes the column.
        objects: Whether its values hold objects, which no tensor can carry.
        optional: Whether the model sees the difference between null and a column that is left out.
        datatype: Of its tensors in the Open Inference Protocol.
        cast: Makes the value that the model's own DataFrame has; None: the JSON value is that.
            Raises ValueError.
        reads: Kind of the cells of a CSV; "": text, in which only an empty cell is missing.
        sizes: Shape of a list and the lists in it; -1: any length.
        gap_texts: Texts that are read as null.
        infinite: Whether the training data has infinities, as which 1e400 is read there.
    """

    name: str
    kind: str
    type: Any
    shown: Any
    wanted: str
    nullable: bool
    datatype: str = "BYTES"
    cast: Callable[[Any], Any] | None = None
    reads: str = ""
    sizes: tuple[int, ...] = ()
    optional: bool = False
    from_signature: bool = False
    objects: bool = False
    gap_texts: frozenset[str] = frozenset()
    infinite: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a value in the Open Inference Protocol."""
        return (self.sizes or (-1,)) if self.kind == "array" else ()

    def read(self, text: str) -> Any:
        """A cell of a CSV, as the loader reads it; None if it is missing,
        the text itself if it does not fit."""
        cell = text.strip() if self.reads else text
        if cell == "" or (self.reads and cell in TOKENS):
            return None
        if self.reads == "boolean":
            return {"true": True, "false": False}.get(cell.lower(), text)
        if self.reads in ("integer", "number"):
            if INTEGER.fullmatch(cell):
                return int(cell)
            number = float(cell) if NUMBER.fullmatch(cell) else None
            too_large = number in (math.inf, -math.inf) and any(map(str.isdigit, cell))
            return text if number is None or (too_large and not self.infinite) else number
        return text


def named_columns(signature: "ModelSignature | None") -> dict[str, Any]:
    """The named columns of a signature, in order; none for a signature of tensors, or without one."""
    inputs = signature.inputs if signature else None
    if not inputs or inputs.is_tensor_spec() or not inputs.has_input_names():
        return {}
    return {
        str(column.name): column for column in inputs.inputs
    }  # a frame without names has numbers for them


def whole(bits: int = 64) -> Any:
    """Type of a whole number of `bits` bits; 3.0 is one."""
    end = 2.0 ** (bits - 1)
    return _int(bits) | Annotated[float, Meta(multiple_of=1, ge=-end, lt=end)]


def _int(bits: int) -> Any:
    return Annotated[int, Meta(ge=-(2 ** (bits - 1)), le=2 ** (bits - 1) - 1)]


def plain(name: str, kind: str, nullable: bool, bits: int = 64) -> Field:
    """A field for a kind of `WANTED`."""
    types: dict[str, Any] = {
        "number": float, "integer": whole(bits), "boolean": bool, "text": str, "binary": bytes, "datetime": str,
    }  # fmt: skip
    accepted = types.get(kind, Any)
    return Field(
        name,
        kind,
        accepted,
        {"integer": _int(bits), "image": bytes}.get(kind, accepted),
        WANTED[kind] + (f" of {bits} bits" if bits != 64 else ""),
        nullable,
        DATATYPES.get(kind, "BYTES"),
        {"integer": as_int, "datetime": _time}.get(kind),
        kind if kind in ("number", "integer", "boolean", "datetime") else "",
    )


def of_signature(column: Any) -> Field:
    """The field for a column of an MLflow signature."""
    mlflow_type = getattr(column.type, "name", "any")
    kind = KINDS.get(mlflow_type, "any")
    optional = not column.required
    made = plain(str(column.name), kind, optional, 32 if mlflow_type == "integer" else 64)
    if kind == "any":
        made = made._replace(type=nested(column.type), shown=nested(column.type))
    return made._replace(
        datatype=NARROW.get(mlflow_type, made.datatype),
        optional=optional,
        from_signature=True,
        objects=_holds_objects(column.type),
    )


def _holds_objects(kind: Any) -> bool:
    name = type(kind).__name__
    return name in ("Object", "Map") or (name == "Array" and _holds_objects(kind.dtype))


def nested(kind: Any) -> Any:
    """The JSON type for an MLflow type of lists and dicts. JSON's 1 is a float in it
    where the signature has floats."""
    name = getattr(kind, "name", type(kind).__name__)
    if name in ("float", "double"):
        return float | None
    inner = {"Array": "dtype", "Map": "value_type"}.get(name)
    item: Any = nested(getattr(kind, inner)) if inner else Any
    if item is Any:
        return Any  # MLflow checks it
    return list[item] if name == "Array" else dict[str, item]


def of_tensor(spec: Any) -> Field:
    """The field for a named tensor of a signature; a row has one item of it."""
    name, shape = str(spec.name), spec.shape[1:]
    dtype = np.dtype(spec.type).name
    wanted = f"{dtype} values of shape {shape_text(shape)}, in lists" if shape else f"a value of {dtype}"
    datatype = NUMPY.get(dtype, "BYTES")
    item = tensor_item(spec)
    return Field(name, "array" if shape else "any", item, item, wanted, False, datatype, sizes=tuple(shape))


def shape_text(shape: Iterable[int]) -> str:
    """A shape for a message, such as [any, 28, 28]."""
    return f"[{', '.join('any' if size < 0 else str(size) for size in shape)}]"


def tensor_item(spec: Any) -> Any:
    """The type of one row of a tensor [rows, ...]: lists as deep and as long as the signature says."""
    row: Any = _number_of(np.dtype(spec.type))
    for size in reversed(spec.shape[1:]):
        row = list[row] if size < 0 else Annotated[list[row], Meta(min_length=size, max_length=size)]
    return row


def _number_of(dtype: Any) -> Any:
    """The JSON type of a dtype's values, with its bounds. msgspec has none beyond 64 bits with a sign."""
    if dtype.kind == "f":
        return float | None
    if dtype.kind in "iu":
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        return Annotated[int, Meta(ge=least, le=most if most <= LARGEST else None)]
    return bool if dtype.kind == "b" else Any


def cast_rows(rows: list[Any], casts: Mapping[str, Field]) -> list[Any]:
    """Rows with the values that the model's own DataFrame has: dates for their texts, say.
    They are changed in place.

    Args:
        rows: ``{column: value}``; of any form where no field has a cast.
        casts: The fields that have a cast, by name.

    Raises:
        BadValue: A text is no date, say.
    """
    for name, field in casts.items():
        assert field.cast
        for number, row in enumerate(rows):
            if (value := row.get(name)) is not None:
                try:
                    row[name] = field.cast(value)
                except (ValueError, OverflowError):
                    raise BadValue(number, name, value, field.wanted) from None
    return rows


def casts_of(fields: Iterable[Field]) -> dict[str, Field]:
    """The fields that have a cast, by name."""
    return {field.name: field for field in fields if field.cast}


def as_int(value: float | str) -> int:
    return int(value)


def _time(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
