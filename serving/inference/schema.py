"""The schema of a request's rows, compiled once from the columns of the training data or the model's signature.

msgspec parses and checks the JSON in one pass in C; its errors name the row and the field.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_lib.columns.schema import Schema
from mlops_lib.network_inputs.spec import InputSpec
from serving.inference.fields import Field, casts_of, plain
from serving.inference.images import ImageColumn, read_all
from serving.inference.odd_names import OddNames
from serving.inference.refusals import listed, refusal, refusal_of_tensor
from serving.inference.row_types import struct_of, unnamed_row
from serving.inference.rows import Rows, replace
from serving.inference.source_fields import fields_of
from serving.web.bodies import NOT_JSON, decode, not_json
from serving.web.problems import Problem, invalid_input

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Where OpenAPI keeps the schemas that others refer to.
REFERENCE = "#/components/schemas/{name}"
#: Schema of bytes that are no text, for OpenAPI.
FILE = {"type": "string", "format": "binary"}


class RequestSchema:
    """Turns a body into `Rows`. Bodies: ``{"inputs": [row, ...]}``, ``{"inputs": row}``, or one row alone.

    A row is a row of the source: the model's columns, and the source's other columns (key, label, unused ones), which
    are ignored. For a signature of one tensor it is a nested list of that shape. Without a signature it is any JSON:
    the model itself decides.

    Args:
        signature: The model's.
        looked_up: Columns that a row may leave out, because the feature store has them.
        keys: Entity key -> its pandas dtype, "" for any. A row may carry them beside the columns.
        source: Columns of the training data; None for a model that was logged elsewhere.
        strict: Whether a row with a column that the source does not have is refused.
        network_inputs: Of a network that takes several, by name.
        beside: Further column -> its pandas dtype. A row may carry them too: on-demand features are computed from them.

    Attributes:
        model_fields: The model's columns, by name, in order; none for a tensor or without a signature.
        columns: Their names.
        entity_keys: All entity keys.
        fields: Names of a row's fields, in order: columns, then entity keys and further columns, then ignored ones.
        has_optional: Whether the model sees the difference between null and a column that is left out.
        params: Name -> specification of each of the signature's ``params``.
        images: Names of the columns with images.
        unused_images: Those of the source that the model does not take.
    """

    def __init__(
        self,
        signature: "ModelSignature | None",
        looked_up: Collection[str] = (),
        keys: Mapping[str, str] = MappingProxyType({}),
        source: Schema | None = None,
        strict: bool = True,
        beside: Mapping[str, str] = MappingProxyType({}),
        network_inputs: Mapping[str, InputSpec] = MappingProxyType({}),
    ) -> None:
        named = fields_of(signature, source)
        #: Of a network: a tensor may have the name of its input instead of a column's.
        self.network_inputs = network_inputs
        self.model_fields = {field.name: field for field in named}
        self.columns, self.entity_keys = tuple(self.model_fields), tuple(keys)
        self.casts = casts_of(named)
        self.images = tuple(field.name for field in named if field.kind == "image")
        self.unused_images = tuple(
            column.name
            for column in (source.columns if source else ())
            if column.kind == "image" and column.name not in self.model_fields
        )
        self._image_columns = {
            f"c{number}": ImageColumn(field, network_inputs)
            for number, field in enumerate(named)
            if field.kind == "image"
        }
        self._gap_texts = {
            f"c{number}": field.gap_texts for number, field in enumerate(named) if field.gap_texts
        }
        self.has_optional = any(field.optional for field in named)
        self.params = {spec.name: spec for spec in (signature and signature.params) or ()}
        #: MLflow's schema of the inputs; None without a signature.
        self.inputs = signature.inputs if signature else None
        #: Whether the model was trained on a table, so that a value is never a list.
        self.is_table = source is not None
        self._looked_up = frozenset(looked_up)
        inputs = self.inputs
        others: dict[str, str] = {}
        ignored: list[str] = []
        row: Any
        lenient: Any = None
        if named:
            others = {name: dtype for name, dtype in {**keys, **beside}.items() if name not in self.columns}
            known = {*self.columns, *others}
            ignored = [c.name for c in source.columns if c.name not in known] if source else []
            row = struct_of(named, looked_up, others, ignored, strict)
            lenient = struct_of(list(map(_with_gaps, named)), looked_up, others, ignored, strict=False)
            shown: Any = struct_of(named, looked_up, others, ignored, strict, shown=True)
            either: Any = row | list[row]
            self._shown = _envelope(shown | list[shown])
        elif inputs and len(inputs.inputs) == 1:
            row = unnamed_row(inputs.inputs[0])
            either = list[row]
            self._shown = _envelope(either)
        else:
            row = either = Any
            self._shown = _envelope(either)
        self._keys, self.fields = tuple(others), (*self.columns, *others, *ignored)
        self._key_fields = {
            name: plain(name, _kind_of(dtype), nullable=True) for name, dtype in others.items()
        }
        self._odd_names = OddNames(self.fields)
        self._rows: Any = list[row]
        self._lenient_rows: Any = list[lenient] if named else list[row]
        self._body, self._row_alone = (
            msgspec.json.Decoder(_envelope(either)),
            msgspec.json.Decoder(row),
        )

    def parse(self, body: bytes) -> Rows:
        """The rows of a body.

        Raises:
            Problem: 400 for a body that is no JSON; 422 for one that does not fit, naming row, column and value.
        """
        if self._odd_names:
            return self._parse_in_two_steps(body)
        try:
            inputs = self._decode(body)
        except msgspec.ValidationError as error:
            raise self._refusal_of_body(error, body) from None
        except NOT_JSON as error:
            raise not_json(error, body) from None
        if isinstance(inputs, list):
            return self._rows_of(self._checked(inputs))
        return self._rows_of(self._checked([inputs]), single=True)

    def convert(self, rows: list[Any], as_mlflow: bool = False) -> Rows:
        """The same check for rows that another protocol's body had.

        Args:
            as_mlflow: Whether rows are read as MLflow's server reads them: columns that the source does not have are
                ignored, and a model that was logged elsewhere takes null as a missing number in any column of floats.

        Raises:
            Problem: 422 for a row that does not fit.
        """
        fields = list(map(self._odd_names.to_fields, rows)) if self._odd_names else rows
        try:
            kind = self._lenient_rows if as_mlflow else self._rows
            return self._rows_of(msgspec.convert(self._checked(fields), kind))
        except msgspec.ValidationError as error:
            raise self._refusal(error, rows) from None

    def adopt(self, rows: Rows) -> Rows:
        """Another version's rows as this version's, without the columns that it does not have.

        Raises:
            Problem: 422 for a row that lacks a column of this version.
        """
        values = rows.complete()
        if self.columns:
            known = [{name: _sent(row[name]) for name in self.fields if name in row} for row in values]
            values = self.convert(known).values
        return replace(rows, schema=self, values=values, completed=False)

    def from_text(self, name: str, text: str) -> Any:
        """A cell of a CSV as its column's type, as text where it does not fit: `convert` then names it."""
        field = self.model_fields.get(name) or self._key_fields.get(name)
        return field.read(text) if field else text or None

    def json_schema(self) -> dict[str, Any]:
        """JSON Schemas by name: that of a body is `Body`, and it refers to the others.

        `Form` is the schema of an upload, and `Image` of a body that is an image, where the model takes them.
        """
        components = msgspec.json.schema_components([self._shown], ref_template=REFERENCE)[1]
        if self._odd_names:
            components["Row"] = self._odd_names.in_schema(components["Row"])
        if self.images:
            row = components["Row"]
            files = {name: {"description": self.model_fields[name].wanted, **FILE} for name in self.images}
            components["Form"] = {**row, "title": "Form", "properties": {**row["properties"], **files}}
            if len(self.columns) == 1:
                components["Image"] = FILE
        return components

    def _checked(self, rows: list[Any]) -> list[Any]:
        """Rows, of which there is at least one."""
        if not rows:
            raise invalid_input("There are no rows: send at least one.")
        return rows

    def _rows_of(self, values: list[Any], single: bool = False) -> Rows:
        if self._image_columns:
            read_all(values, self._image_columns)
        for name, texts in self._gap_texts.items():
            for row in values:
                value = getattr(row, name)
                if type(value) is str and value in texts:
                    setattr(row, name, None)
        return Rows(self, values, single)

    def _decode(self, body: bytes) -> Any:
        try:
            decoded: Any = self._body.decode(body)
            return decoded.inputs
        except msgspec.ValidationError:
            if b'"inputs"' in body and self._is_envelope(msgspec.json.decode(body)):
                raise
            return self._row_alone.decode(body)

    def _is_envelope(self, sent: Any) -> bool:
        """Whether the rows of a body are in its ``inputs``. That may also be a column of a row alone."""
        if not isinstance(sent, dict) or "inputs" not in sent:
            return False
        if "inputs" not in self.fields:
            return True
        inputs = sent["inputs"]
        rows = inputs if isinstance(inputs, list) else [inputs]
        return len(sent) == 1 and all(isinstance(row, dict) for row in rows)

    def _parse_in_two_steps(self, body: bytes) -> Rows:
        sent = decode(msgspec.json.decode, body)
        if isinstance(sent, dict) and sent.keys() == {"inputs", "params"} and not {*sent} & {*self.fields}:
            raise self._no_params()
        inputs = sent["inputs"] if self._is_envelope(sent) and len(sent) == 1 else sent
        if isinstance(inputs, list) and inputs is not sent:
            return self.convert(inputs)
        return Rows(self, self.convert([inputs]).values, single=True)

    def _refusal_of_body(self, error: msgspec.ValidationError, body: bytes) -> Problem:
        try:
            sent = msgspec.json.decode(body)
        except NOT_JSON:
            sent = None
        said = str(error)
        if isinstance(sent, dict) and "unknown field `params`" in said:
            return self._no_params()
        if self.columns and isinstance(sent, list):
            return invalid_input(
                'A body is {"inputs": [row, ...]} or one row alone, and a list came. Put it into "inputs".'
            )
        if self._is_envelope(sent) and "`$.inputs" in said:
            return self._refusal(Exception(said.replace("`$.inputs", "`$", 1)), sent["inputs"])
        return self._refusal(error, sent)

    def _no_params(self) -> Problem:
        has = f"This model's params: {listed(self.params)}." if self.params else "This model has no params."
        return invalid_input(
            "'params' is no key of this body. /invocations takes it beside \"inputs\", and "
            f'/v2/models/{{name}}/infer takes params as its "parameters". {has}'
        )

    def _refusal(self, error: Exception, rows: Any) -> Problem:
        if self.inputs and self.inputs.is_tensor_spec() and not self.columns and len(self.inputs.inputs) == 1:
            return refusal_of_tensor(error, rows, self.inputs.inputs[0])
        if not self.columns:
            return invalid_input(f"{error}.")
        if isinstance(rows, dict) and "unknown field `input`" in str(error):
            return invalid_input(f'{error}. Did you mean "inputs"? The model takes: {listed(self.columns)}.')
        hint = ""
        if self._keys and not self._looked_up:
            hint = f" A row may carry {listed(self._keys)} too, but no feature of this version is looked up by it."
        error = Exception(self._odd_names.to_columns(str(error)))
        others = self.fields[len(self.columns) :]
        return refusal(error, rows, self.model_fields, others, hint, self._looked_up)


def _with_gaps(field: Field) -> Field:
    """The field with null as a missing number, if it is a column of floats of a model that was logged elsewhere."""
    return (
        field._replace(type=field.type | None) if field.kind == "number" and field.from_signature else field
    )


def _kind_of(dtype: str) -> str:
    """Kind of an entity key, by its pandas dtype: that of its text in a CSV or a form."""
    kinds = {"int": "integer", "float": "number", "bool": "boolean"}
    return next((kind for start, kind in kinds.items() if start in dtype.lower()), "text")


def _envelope(inputs: Any) -> Any:
    """The type of a body."""
    return msgspec.defstruct("Body", [("inputs", inputs)], forbid_unknown_fields=True)


def _sent(value: Any) -> Any:
    """A value of the feature store as a caller would send it."""
    return value.isoformat() if isinstance(value, datetime) else value
