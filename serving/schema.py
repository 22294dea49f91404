"""What a request body must be, compiled once from the model's signature.

msgspec parses and checks the JSON in one pass in C; its errors name the row and the field.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from serving.problems import Problem

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: MLflow's column types -> what JSON must hold.
TYPES: dict[str, Any] = {
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "string": str,
    "binary": bytes,
    "datetime": datetime,
}


class RequestSchema:
    """Turns a body into rows. Bodies: ``{"inputs": [row, ...]}``, ``{"inputs": row}``, or one row alone.

    Args:
        signature: The model's; without one, or with one of tensors, any JSON is a row and the model decides.
        looked_up: Columns that a row may leave out, because the feature store has them.
        keys: Entity key -> its pandas dtype: what a row may carry to look them up by.
    """

    def __init__(
        self,
        signature: "ModelSignature | None",
        looked_up: Collection[str] = (),
        keys: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.columns: tuple[str, ...] = ()
        self._looked_up, self._keys = looked_up, keys
        row: Any = Any
        if columns(signature):
            row = self._row(signature.inputs.inputs)  # type: ignore[union-attr]
        envelope = msgspec.defstruct(
            "Body", [("inputs", Any if row is Any else row | list[row])], forbid_unknown_fields=True
        )
        self._body, self._row_alone = msgspec.json.Decoder(envelope), msgspec.json.Decoder(row)

    def parse(self, body: bytes) -> tuple[list[Any], bool]:
        """Rows as ``{column: value}``, and whether a single one came in.

        Raises:
            Problem: 400 for a body that is no JSON; 422 for one that does not fit, naming row and field.
        """
        try:
            inputs = self._decode(body)
        except msgspec.ValidationError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", self._named(str(error))) from None
        except msgspec.DecodeError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "invalid_json", f"The body is not JSON: {error}") from None
        single = not isinstance(inputs, list)
        rows = [inputs] if single else inputs
        if not rows:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", "'inputs' is an empty list: send a row."
            )
        if self.columns:
            as_tuple = msgspec.structs.astuple
            rows = [dict(zip(self.columns, as_tuple(row), strict=True)) for row in rows]
        if self._looked_up:
            rows = [{name: value for name, value in row.items() if value is not UNSET} for row in rows]
        return rows, single

    def _decode(self, body: bytes) -> Any:
        try:
            decoded: Any = self._body.decode(body)
            return decoded.inputs
        except msgspec.ValidationError:
            if b'"inputs"' in body:
                raise
            return self._row_alone.decode(body)

    def _row(self, inputs: list[Any]) -> Any:
        """A struct of the signature's columns; its own field names are safe whatever the columns are called."""
        fields: list[tuple[Any, ...]] = []
        for number, column in enumerate(inputs):
            kind = TYPES.get(getattr(column.type, "name", ""), Any)
            if column.name in self._looked_up:
                fields.append((f"c{number}", (kind if column.required else kind | None) | UnsetType, UNSET))
            elif column.required:
                fields.append((f"c{number}", kind))
            else:
                fields.append((f"c{number}", kind | None, None))
        keys = [name for name in self._keys if name not in {column.name for column in inputs}]
        for number, name in enumerate(keys, start=len(inputs)):
            fields.append((f"c{number}", _key_type(self._keys[name]) | UnsetType, UNSET))
        self.columns = (*(column.name for column in inputs), *keys)
        names = {f"c{number}": column for number, column in enumerate(self.columns)}
        return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)

    def _named(self, message: str) -> str:
        """msgspec's message, with what the model wants."""
        wanted = f" The model takes: {', '.join(self.columns)}." if self.columns else ""
        return f"{message}.{wanted}"


def columns(signature: "ModelSignature | None") -> tuple[str, ...]:
    """The named columns that a model takes; none for a signature of tensors, or without one."""
    if not signature or not signature.inputs or signature.inputs.is_tensor_spec():
        return ()
    return tuple(column.name for column in signature.inputs.inputs)


def _key_type(dtype: str) -> Any:
    """What JSON must hold for an entity key; an integer past 64 bits is one that no store knows."""
    if "int" in dtype.lower():
        return Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    return {"object": str, "bool": bool}.get(dtype, int | float | str)
