"""The types of a request's rows, for msgspec."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from serving.inference.fields import LARGEST, Field, nested, tensor_item, whole
from serving.inference.odd_names import replaced

#: MLflow's type of a function's items -> type of the JSON value.
ITEMS: dict[str, Any] = {
    "boolean": bool,
    "integer": whole(32),
    "long": whole(),
    "float": float,
    "double": float,
    "string": str,
    "binary": bytes,
    "datetime": str,
}
IGNORED = Annotated[Any, Meta(description="A column of the source that the model does not use: ignored.")]


def struct_of(
    fields: Sequence[Field],
    looked_up: Collection[str],
    keys: Mapping[str, str],
    ignored: Sequence[str],
    strict: bool,
    shown: bool = False,
) -> Any:
    """The type of a row: the model's columns, then entity keys, then other columns of the source.

    Its own field names are c0, c1, ..., so that a column may have any name.

    Args:
        looked_up: Columns that a row may leave out, because the feature store has them.
        keys: Entity key -> its pandas dtype.
        ignored: Columns of the source that the model does not use.
        strict: Whether a row with any other column is refused.
        shown: For OpenAPI: with descriptions, and with the types that JSON Schema has.
    """
    made: list[tuple[Any, ...]] = []
    for number, field in enumerate(fields):
        kind = Annotated[field.shown, Meta(description=_description(field))] if shown else field.type
        if field.nullable:
            kind = kind | None
        if field.name in looked_up or field.optional:
            made.append((f"c{number}", kind | UnsetType, UNSET))
        else:
            made.append((f"c{number}", kind, None) if field.nullable else (f"c{number}", kind))
    others = [_key_type(dtype) | UnsetType for dtype in keys.values()] + [IGNORED for _ in ignored]
    made += [(f"c{number}", kind, UNSET) for number, kind in enumerate(others, start=len(fields))]
    names = (*(field.name for field in fields), *keys, *ignored)
    renamed = {f"c{number}": replaced(name) for number, name in enumerate(names)}
    return msgspec.defstruct("Row", made, rename=renamed, forbid_unknown_fields=strict, kw_only=True)


def _description(field: Field) -> str:
    """What a column takes, and the texts that mean a missing value (``data.missing_values``)."""
    gaps = ", ".join(map(repr, sorted(field.gap_texts - {""})))
    return f"{field.wanted}; no value: null, {gaps}" if gaps else field.wanted


def unnamed_row(spec: Any) -> Any:
    """The type of one row of a signature's only input: an item of a tensor, or of a function's list."""
    if hasattr(spec, "shape"):
        return tensor_item(spec)
    return ITEMS.get(getattr(spec.type, "name", "")) or nested(spec.type)


def _key_type(dtype: str) -> Any:
    """Type of the JSON value of an entity key. Its bounds are those of the dtype:
    a store would reject other numbers."""
    kind = dtype.lower()
    if "int" in kind:
        bounds = np.iinfo(kind)
        return Annotated[int, Meta(ge=int(bounds.min), le=min(int(bounds.max), LARGEST))]
    if kind.startswith("datetime"):
        return Annotated[datetime, Meta(tz=True)]
    integer = Annotated[int, Meta(ge=-LARGEST - 1, le=LARGEST)]
    known: dict[str, Any] = {"object": str, "bool": bool, "boolean": bool, "": integer | float | str | None}
    return float if "float" in kind else known.get(kind, integer | float | str)
