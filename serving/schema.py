"""What a request body must be, compiled once from the model's signature.

msgspec parses and checks the JSON in one pass in C; its errors name the row and the field.
"""

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

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
    """

    def __init__(self, signature: "ModelSignature | None") -> None:
        self.columns: tuple[str, ...] = ()
        row: Any = Any
        if signature and signature.inputs and not signature.inputs.is_tensor_spec():
            row = self._row(signature.inputs.inputs)
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
        self.columns = tuple(column.name for column in inputs)
        fields: list[tuple[Any, ...]] = []
        for number, column in enumerate(inputs):
            kind = TYPES.get(getattr(column.type, "name", ""), Any)
            fields.append((f"c{number}", kind) if column.required else (f"c{number}", kind | None, None))
        names = {f"c{number}": column for number, column in enumerate(self.columns)}
        return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)

    def _named(self, message: str) -> str:
        """msgspec's message, with what the model wants."""
        wanted = f" The model takes: {', '.join(self.columns)}." if self.columns else ""
        return f"{message}.{wanted}"
