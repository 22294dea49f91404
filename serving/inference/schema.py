"""What a request body must be, compiled once from the model's signature.

msgspec parses and checks the JSON in one pass in C; its errors name the row and the field.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from serving.web.bodies import NOT_JSON, not_json
from serving.web.problems import Problem, misfit

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: MLflow's column types -> what JSON must hold.
TYPES: dict[str, Any] = {
    "boolean": bool,
    "integer": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "long": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "float": float,
    "double": float,
    "string": str,
    "binary": bytes,
    "datetime": datetime,
}
astuple = msgspec.structs.astuple
#: Where OpenAPI keeps the schemas that others refer to.
REFERENCE = "#/components/schemas/{name}"


class RequestSchema:
    """Turns a body into rows. Bodies: ``{"inputs": [row, ...]}``, ``{"inputs": row}``, or one row alone.

    A row is a struct of the signature's columns, with the entity keys last; a nested list of a tensor
    signature's shape; what a function's type hints say of its list's items; and any JSON at all for a model without a signature, which then decides itself.

    Args:
        signature: The model's.
        looked_up: Columns that a row may leave out, because the feature store has them.
        keys: Entity key -> its pandas dtype: what a row may carry beside the columns; "" for any dtype.
    """

    def __init__(
        self,
        signature: "ModelSignature | None",
        looked_up: Collection[str] = (),
        keys: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.columns: tuple[str, ...] = ()
        self.types: tuple[str, ...] = ()
        self._looked_up, self._all_keys, self._keys = looked_up, tuple(keys), keys
        inputs = signature.inputs if signature else None
        asked: Any
        if inputs and not inputs.is_tensor_spec() and inputs.has_input_names():
            self.columns = tuple(column.name for column in inputs.inputs)
            self.types = tuple(getattr(column.type, "name", "any") for column in inputs.inputs)
            self._keys = {name: dtype for name, dtype in keys.items() if name not in self.columns}
            self.row = asked = self._struct(inputs.inputs)
            either: Any = asked | list[asked]
        elif inputs and len(inputs.inputs) == 1:
            self.row = asked = _unnamed_row(inputs.inputs[0])
            either = list[asked]
        else:
            self.row = asked = either = Any
        self.envelope = msgspec.defstruct("Body", [("inputs", either)], forbid_unknown_fields=True)
        self._body, self._row_alone = msgspec.json.Decoder(self.envelope), msgspec.json.Decoder(asked)
        self._width = len(self.columns)
        self._kinds = dict(zip(self.columns, self.types, strict=True))
        self._named = (*self.columns, *self._keys)

    def parse(self, body: bytes) -> tuple[list[Any], bool]:
        """Rows, and whether a single one came in.

        Raises:
            Problem: 400 for a body that is no JSON; 422 for one that does not fit, naming row and field.
        """
        try:
            inputs = self._decode(body)
        except msgspec.ValidationError as error:
            raise self._misfit(error) from None
        except NOT_JSON as error:
            raise not_json(error, body) from None
        if isinstance(inputs, list):
            return _not_empty(inputs), False
        return [inputs], True

    def convert(self, rows: list[Any]) -> list[Any]:
        """The same check for rows that another protocol, or the feature store, made.

        Raises:
            Problem: 422 for a row that does not fit.
        """
        try:
            return msgspec.convert(_not_empty(rows), list[self.row])  # type: ignore[name-defined]
        except msgspec.ValidationError as error:
            raise self._misfit(error) from None

    def adopt(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Rows that another version's schema made, as this one's: columns that it does not know are left out.

        Raises:
            Problem: 422 for a row that lacks what this version needs.
        """
        if not self.columns:
            return rows
        return self.convert([{name: row[name] for name in self._named if name in row} for row in rows])

    def as_tuples(self, rows: list[Any]) -> list[tuple[Any, ...]]:
        """Values of each row in the order of the columns, without the entity keys."""
        if not self._keys:
            return [astuple(row) for row in rows]
        width = self._width
        return [astuple(row)[:width] for row in rows]

    def as_dicts(self, rows: list[Any]) -> list[Any]:
        """Rows as ``{column: value}``, without the entity keys; a chat's, and rows of no named columns, as they are."""
        if not self.columns or isinstance(rows[0], dict):
            return rows
        return [dict(zip(self.columns, astuple(row), strict=False)) for row in rows]

    def given(self, rows: list[Any]) -> list[Any]:
        """What the caller sent, entity keys included and absent values left out; other rows as they are."""
        if not self.columns or isinstance(rows[0], dict):
            return rows
        return [
            {name: value for name, value in zip(self._named, astuple(row), strict=True) if value is not UNSET}
            for row in rows
        ]

    def entity(self, row: Any) -> tuple[Any, ...] | None:
        """The values of a row's entity keys; None where it lacks one."""
        values = self.given([row])[0] if self.columns else row
        if not self._all_keys or not isinstance(values, dict):
            return None
        entity = tuple(values.get(name) for name in self._all_keys)
        return None if None in entity else entity

    def from_text(self, name: str, text: str) -> Any:
        """A cell of a CSV as its column's type, as text where it does not fit: `convert` then names it."""
        kind = self._kinds.get(name, "")
        try:
            if kind in ("integer", "long"):
                return int(text)
            if kind in ("double", "float"):
                return float(text)
        except ValueError:
            return text
        return {"true": True, "false": False}.get(text.lower(), text) if kind == "boolean" else text

    def json_schema(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The JSON Schema of a body, and the components that it refers to."""
        (body,), components = msgspec.json.schema_components([self.envelope], ref_template=REFERENCE)
        return body, components

    def _decode(self, body: bytes) -> Any:
        try:
            decoded: Any = self._body.decode(body)
            return decoded.inputs
        except msgspec.ValidationError:
            if b'"inputs"' in body:
                raise
            return self._row_alone.decode(body)

    def _struct(self, columns: list[Any]) -> Any:
        """A struct of the signature's columns; its own field names are safe whatever the columns are called."""
        fields: list[tuple[Any, ...]] = []
        for number, column in enumerate(columns):
            kind = TYPES.get(getattr(column.type, "name", ""), Any)
            if not column.required:
                kind = kind | None
            if column.name in self._looked_up:
                fields.append((f"c{number}", kind | UnsetType, UNSET))
            else:
                fields.append((f"c{number}", kind) if column.required else (f"c{number}", kind, None))
        for number, dtype in enumerate(self._keys.values(), start=len(columns)):
            fields.append((f"c{number}", _key_type(dtype) | UnsetType, UNSET))
        names = {f"c{number}": name for number, name in enumerate((*self.columns, *self._keys))}
        return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)

    def _misfit(self, error: msgspec.ValidationError) -> Problem:
        """msgspec's message, with what the model wants."""
        wanted = f" The model takes: {', '.join(self.columns)}." if self.columns else ""
        if self._keys and not self._looked_up:
            wanted += f" A row may carry {', '.join(self._keys)} too, but no feature of this version is looked up by it."
        if "unknown field `input`" in str(error):
            wanted = ' Did you mean "inputs"?' + wanted
        return misfit(f"{error}.{wanted}")


def _unnamed_row(spec: Any) -> Any:
    """The type of one row of the one input: what a function's type hints say of it, or a tensor's [rows, ...].

    For a tensor that is lists as deep and as long as the signature says.
    """
    if not hasattr(spec, "shape"):
        return TYPES.get(getattr(spec.type, "name", ""), Any)
    row: Any = {"f": float, "i": int, "u": int, "b": bool}.get(spec.type.kind, Any)
    for size in reversed(spec.shape[1:]):
        row = list[row] if size < 0 else Annotated[list[row], Meta(min_length=size, max_length=size)]
    return row


def columns(signature: "ModelSignature | None") -> tuple[str, ...]:
    """The named columns that a model takes; none for a signature of tensors, or without one."""
    inputs = signature.inputs if signature else None
    if not inputs or inputs.is_tensor_spec() or not inputs.has_input_names():
        return ()
    return tuple(column.name for column in inputs.inputs)


def _key_type(dtype: str) -> Any:
    """What JSON must hold for an entity key; a number past the bits of its type is one that no store knows."""
    kind = dtype.lower()
    if "int" in kind:
        bounds = np.iinfo(kind)
        return Annotated[int, Meta(ge=int(bounds.min), le=min(int(bounds.max), 2**63 - 1))]
    if kind.startswith("datetime"):
        return Annotated[datetime, Meta(tz=True)]
    integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    known: dict[str, Any] = {"object": str, "bool": bool, "boolean": bool, "": integer | str | None}
    return float if "float" in kind else known.get(kind, integer | float | str)


def _not_empty(rows: list[Any]) -> list[Any]:
    if not rows:
        raise misfit("There are no rows: send at least one.")
    return rows
