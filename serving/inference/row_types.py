"""The types of a request's rows, made from the model's signature, for msgspec."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LARGEST = 2**63 - 1
#: MLflow's column type -> type of the JSON value.
TYPES: dict[str, Any] = {
    "boolean": bool,
    "integer": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "long": Annotated[int, Meta(ge=-LARGEST - 1, le=LARGEST)],
    "float": float,
    "double": float,
    "string": str,
    "binary": bytes,
    "datetime": datetime,
}


def columns(signature: "ModelSignature | None") -> tuple[str, ...]:
    """The named columns that a model takes; none for a signature of tensors, or without one."""
    inputs = signature.inputs if signature else None
    if not inputs or inputs.is_tensor_spec() or not inputs.has_input_names():
        return ()
    return tuple(column.name for column in inputs.inputs)


def struct_of(columns: list[Any], looked_up: Collection[str], keys: Mapping[str, str]) -> Any:
    """The type of a row of named columns, entity keys last.

    Its own field names are c0, c1, ..., so that a column may have any name.

    Args:
        columns: Of the signature.
        looked_up: Columns that a row may leave out.
        keys: Entity key -> its pandas dtype.
    """
    fields: list[tuple[Any, ...]] = []
    for number, column in enumerate(columns):
        kind = TYPES.get(getattr(column.type, "name", ""), Any)
        if not column.required:
            kind = kind | None
        if column.name in looked_up:
            fields.append((f"c{number}", kind | UnsetType, UNSET))
        else:
            fields.append((f"c{number}", kind) if column.required else (f"c{number}", kind, None))
    for number, dtype in enumerate(keys.values(), start=len(columns)):
        fields.append((f"c{number}", _key_type(dtype) | UnsetType, UNSET))
    names = {f"c{n}": name for n, name in enumerate((*(column.name for column in columns), *keys))}
    return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)


def unnamed_row(spec: Any) -> Any:
    """The type of one row of a signature's only input.

    For a function it is the type of its list's items; for a tensor [rows, ...] it is lists as deep and as long as the
    signature says.
    """
    if not hasattr(spec, "shape"):
        return TYPES.get(getattr(spec.type, "name", ""), Any)
    row: Any = {"f": float, "i": int, "u": int, "b": bool}.get(spec.type.kind, Any)
    for size in reversed(spec.shape[1:]):
        row = list[row] if size < 0 else Annotated[list[row], Meta(min_length=size, max_length=size)]
    return row


def from_text(kind: str, text: str) -> Any:
    """A cell of a CSV as a value of its column's type; the text itself where it does not fit."""
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("double", "float"):
            return float(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if kind == "boolean" else text


def _key_type(dtype: str) -> Any:
    """Type of the JSON value of an entity key. Its bounds are those of the dtype: a store would reject other numbers."""
    kind = dtype.lower()
    if "int" in kind:
        bounds = np.iinfo(kind)
        return Annotated[int, Meta(ge=int(bounds.min), le=min(int(bounds.max), LARGEST))]
    if kind.startswith("datetime"):
        return Annotated[datetime, Meta(tz=True)]
    integer = Annotated[int, Meta(ge=-LARGEST - 1, le=LARGEST)]
    known: dict[str, Any] = {"object": str, "bool": bool, "boolean": bool, "": integer | str | None}
    return float if "float" in kind else known.get(kind, integer | float | str)
