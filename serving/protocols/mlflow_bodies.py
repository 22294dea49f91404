"""The rows of a body in one of the formats of MLflow's scoring server."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec

from mlops_lib.wrappers.pyfunc.forms import rows_of
from serving.inference.batching import require_room
from serving.inference.fields import plain
from serving.inference.refusals import listed
from serving.inference.schema import RequestSchema
from serving.web import bodies
from serving.web.problems import Problem, invalid_input

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
#: Keys of a body that is itself the row: a request to a language model.
OF_LANGUAGE_MODELS = ("messages", "prompt", "input")
NUMBER = plain("", "number", nullable=True)


class Sent(msgspec.Struct):
    """A body's content.

    Attributes:
        rows: As the caller sent them, not yet checked.
        params: Values for ``params`` of the signature, not yet checked.
        is_row: Whether the body is itself the row. The answer then has no ``predictions``.
        ignored: Keys beside the format and ``params``.
    """

    rows: list[Any]
    params: Any = None
    is_row: bool = False
    ignored: Sequence[str] = ()


def from_json(body: bytes, schema: RequestSchema, most: int) -> Sent:
    """The content of a JSON body with at most `most` rows.

    Raises:
        Problem: 400 for a body that is not JSON; 422 for one that has none of the formats;
            413 for too many rows.
    """
    sent = _decode(body)
    given = [name for name in FORMATS if isinstance(sent, dict) and name in sent]
    if not given and isinstance(sent, dict) and any(name in sent for name in OF_LANGUAGE_MODELS):
        params = {name: sent.pop(name) for name in list(sent) if name in schema.params}
        return Sent([sent], params, is_row=True)
    if len(given) != 1:
        raise invalid_input(f"The body must be an object with one of {', '.join(FORMATS)}.")
    read = {"dataframe_split": _from_split, "dataframe_records": _from_records}.get(given[0], _from_inputs)
    rows = read(sent[given[0]], schema, most)
    require_room(len(rows), 0, most)
    ignored = [name for name in sent if name not in (*given, "params")]
    return Sent(_without_line_ends(rows, schema), sent.get("params"), ignored=ignored)


def from_csv(body: bytes, schema: RequestSchema, most: int) -> list[Any]:
    """The rows of a CSV: the first line names the columns; an empty cell is a missing value.

    Raises:
        Problem: 400 for a body that is not CSV; 422 for an empty one; 413 for more than `most` rows.
    """
    try:
        read = csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        lines = list(islice(filter(None, read), most + 2))  # the names, and one row too many
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_csv", f"The body is not CSV: {error}.") from None
    if not lines:
        raise invalid_input("The CSV is empty: its first line must name the columns.")
    names, *cells = lines
    _require_unique(names, schema)
    require_room(len(cells), 0, most)
    rows = [_named(line, names) for line in cells]
    if schema.columns:
        cast = schema.from_text
        return [{name: cast(name, text) for name, text in row.items() if text != ""} for row in rows]
    for name in names:  # a column of numbers, if each of its cells is one
        values = [NUMBER.read(row[name]) for row in rows]
        if not any(isinstance(value, str) for value in values):
            for row, value in zip(rows, values, strict=True):
                row[name] = value
    return [_without_names(row, schema) for row in rows]


def _decode(body: bytes) -> Any:
    """JSON, and Python's NaN and Infinity, which ``json.dumps`` writes for the numbers of a DataFrame."""
    try:
        return bodies.decode(msgspec.json.decode, body)
    except Problem:
        if b"NaN" not in body and b"Infinity" not in body:
            raise
        try:
            sent = json.loads(body, parse_constant=lambda text: None if text == "NaN" else float(text))
            msgspec.json.encode(sent)  # raises for half of a surrogate pair, which json takes
            return sent
        except (ValueError, RecursionError):
            pass
        raise


def _without_line_ends(rows: list[Any], schema: RequestSchema) -> list[Any]:
    """Rows whose base64 is in one line; MLflow's encoder ends each with a line end."""
    if not schema.inputs or "binary" not in [
        getattr(kind, "name", "") for kind in schema.inputs.input_types()
    ]:
        return rows
    binary = [name for name, field in schema.model_fields.items() if field.kind == "binary"]
    for row in rows:
        for name in binary if isinstance(row, dict) else ():
            if isinstance(row.get(name), str):
                row[name] = "".join(row[name].split())
    return ["".join(row.split()) if isinstance(row, str) else row for row in rows]


def _from_split(value: Any, schema: RequestSchema, most: int) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise invalid_input("'dataframe_split' must be an object with 'columns' and 'data'.")
    if others := value.keys() - {"columns", "data", "index"}:
        raise invalid_input(
            f"'dataframe_split' has columns, data and index, and not {', '.join(sorted(others))}."
        )
    data, index = value["data"], value.get("index")
    require_room(len(data), 0, most)
    if isinstance(index, list) and len(index) != len(data):
        raise invalid_input(f"'index' of 'dataframe_split' has {len(index)} items for {len(data)} rows.")
    columns = value.get("columns")
    if columns is None:
        if not schema.columns:
            return [_without_names(row, schema) for row in data]
        columns = schema.columns
    # A frame without names has numbers for them.
    if not isinstance(columns, list | tuple) or not all(isinstance(name, str | int) for name in columns):
        raise invalid_input("'columns' of 'dataframe_split' must be a list of names.")
    names = list(map(str, columns))
    _require_unique(names, schema)
    return [_without_names(_named(row, names), schema) for row in data]


def _from_records(value: Any, schema: RequestSchema, most: int) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise invalid_input("'dataframe_records' must be a list of objects, one a row.")
    require_room(len(value), 0, most)
    return [_without_names(row, schema) for row in value]


def _from_inputs(value: Any, schema: RequestSchema, most: int) -> list[Any]:
    """Rows, columns or a single value: ``inputs``, and ``instances`` too."""
    if isinstance(value, dict | list):
        longest = (
            max((len(cells) for cells in value.values() if isinstance(cells, list)), default=0)
            if isinstance(value, dict) and schema.columns
            else 0
        )
        require_room(longest if isinstance(value, dict) else len(value), 0, most)
    rows = rows_of(value, schema.inputs, scalars=schema.is_table)
    if schema.columns and rows and isinstance(rows[0], list):
        return [_named(row, schema.columns) for row in rows]
    return rows


def _require_unique(names: Sequence[str], schema: RequestSchema) -> None:
    """Raise a Problem for two columns of one name: it is unknown which of them the model should get.

    Columns that the model ignores may have any name, and the last commas of a CSV make columns without one.
    """
    known = schema.fields if schema.columns else names
    if twice := [name for name, count in Counter(names).items() if count > 1 and name and name in known]:
        raise invalid_input(f"Columns must have different names; more than one is named {listed(twice)}.")


def _named(row: Any, columns: Sequence[str]) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(columns):
        raise invalid_input(f"A row must be a list of {len(columns)} values: {', '.join(columns)}.")
    return dict(zip(columns, row, strict=True))


def _without_names(row: Any, schema: RequestSchema) -> Any:
    """A row of a frame for a signature that has no names: a list of values, or the only value."""
    if schema.columns or not schema.inputs:
        return row
    if isinstance(row, Mapping) and row.keys() == {
        schema.inputs.inputs[0].name
    }:  # the only tensor, by its name
        return next(iter(row.values()))
    values = list(row.values()) if isinstance(row, Mapping) else row
    one = not schema.inputs.is_tensor_spec() and len(schema.inputs.inputs) == 1
    return values[0] if one and isinstance(values, list) and len(values) == 1 else values
