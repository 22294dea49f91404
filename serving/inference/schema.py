"""The schema of a request's rows, compiled once from the model's signature.

msgspec parses and checks the JSON in one pass in C; its errors name the row and the field.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from serving.inference.row_types import columns, from_text, struct_of, unnamed_row
from serving.inference.rows import Rows
from serving.web.bodies import NOT_JSON, not_json
from serving.web.problems import Problem, invalid_input

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Where OpenAPI keeps the schemas that others refer to.
REFERENCE = "#/components/schemas/{name}"


class RequestSchema:
    """Turns a body into `Rows`. Bodies: ``{"inputs": [row, ...]}``, ``{"inputs": row}``, or one row alone.

    A row has the signature's columns and may have entity keys. For a signature of one tensor it is a nested list of
    that shape. Without a signature it is any JSON: the model itself decides.

    Args:
        signature: The model's.
        looked_up: Columns that a row may leave out, because the feature store has them.
        keys: Entity key -> its pandas dtype, "" for any. A row may carry them beside the columns.
        beside: Further column -> its pandas dtype. A row may carry them too: on-demand features are computed from them.

    Attributes:
        columns: The model's columns, in order; none for a tensor or without a signature.
        types: MLflow's type of each column.
        keys: The entity keys and further columns that are no columns of the model.
        entity_keys: All entity keys.
        fields: Names of a row's fields, in order: columns, then `keys`.
    """

    def __init__(
        self,
        signature: "ModelSignature | None",
        looked_up: Collection[str] = (),
        keys: Mapping[str, str] = MappingProxyType({}),
        beside: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.columns = columns(signature)
        self.types: tuple[str, ...] = ()
        self.keys: tuple[str, ...] = ()
        self.entity_keys = tuple(keys)
        self._looks_up = bool(looked_up)
        inputs = signature.inputs if signature else None
        row: Any
        if inputs and self.columns:
            self.types = tuple(getattr(column.type, "name", "any") for column in inputs.inputs)
            others = {name: dtype for name, dtype in {**keys, **beside}.items() if name not in self.columns}
            self.keys = tuple(others)
            row = struct_of(inputs.inputs, looked_up, others)
            either: Any = row | list[row]
        elif inputs and len(inputs.inputs) == 1:
            row = unnamed_row(inputs.inputs[0])
            either = list[row]
        else:
            row = either = Any
        self.fields = (*self.columns, *self.keys)
        self._kinds = dict(zip(self.columns, self.types, strict=True))
        self._rows: Any = list[row]
        self._envelope = msgspec.defstruct("Body", [("inputs", either)], forbid_unknown_fields=True)
        self._body, self._row_alone = msgspec.json.Decoder(self._envelope), msgspec.json.Decoder(row)

    def parse(self, body: bytes) -> Rows:
        """The rows of a body.

        Raises:
            Problem: 400 for a body that is no JSON; 422 for one that does not fit, naming row and field.
        """
        try:
            inputs = self._decode(body)
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None
        except NOT_JSON as error:
            raise not_json(error, body) from None
        if isinstance(inputs, list):
            return Rows(self, _not_empty(inputs))
        return Rows(self, [inputs], single=True)

    def convert(self, rows: list[Any]) -> Rows:
        """The same check for rows that another protocol's body had.

        Raises:
            Problem: 422 for a row that does not fit.
        """
        try:
            return Rows(self, msgspec.convert(_not_empty(rows), self._rows))
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None

    def adopt(self, rows: Rows) -> Rows:
        """Another version's rows as this version's, without the columns that it does not have.

        Raises:
            Problem: 422 for a row that lacks a column of this version.
        """
        values = rows.complete()
        if self.columns:
            known = [{name: row[name] for name in self.fields if name in row} for row in values]
            values = self.convert(known).values
        return Rows(self, values, rows.single, rows.looked_up)

    def from_text(self, name: str, text: str) -> Any:
        """A cell of a CSV as its column's type, as text where it does not fit: `convert` then names it."""
        return from_text(self._kinds.get(name, ""), text)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schemas by name: that of a body is `Body`, and it refers to the others."""
        return msgspec.json.schema_components([self._envelope], ref_template=REFERENCE)[1]

    def _decode(self, body: bytes) -> Any:
        try:
            decoded: Any = self._body.decode(body)
            return decoded.inputs
        except msgspec.ValidationError:
            if b'"inputs"' in body:
                raise
            return self._row_alone.decode(body)

    def _invalid(self, error: msgspec.ValidationError) -> Problem:
        """msgspec's message, with the columns of the model."""
        wanted = f" The model takes: {', '.join(self.columns)}." if self.columns else ""
        if self.keys and not self._looks_up:
            wanted += f" A row may carry {', '.join(self.keys)} too, but no feature of this version is looked up by it."
        if "unknown field `input`" in str(error):
            wanted = ' Did you mean "inputs"?' + wanted
        return invalid_input(f"{error}.{wanted}")


def _not_empty(rows: list[Any]) -> list[Any]:
    if not rows:
        raise invalid_input("There are no rows: send at least one.")
    return rows
