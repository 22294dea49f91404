"""MLflow's scoring protocol: /invocations in all its formats, /ping, /health and /version.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#json-input
"""

import csv
import io
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec
from fastapi import Request, Response

from serving.inference.batching import require_room
from serving.inference.json_values import encode_json
from serving.inference.predictor import Answered
from serving.inference.schema import RequestSchema
from serving.models.served import ServedModel
from serving.operations.health import readiness
from serving.protocols.inference import Decoded, InferenceRoute
from serving.web import bodies
from serving.web.call import Call, Reply
from serving.web.problems import Problem, invalid_input
from serving.web.route import get

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


REQUEST = {
    "application/json": {
        "schema": {
            "type": "object",
            "description": "One of MLflow's formats.",
            "properties": {
                "dataframe_split": {"type": "object"},
                "dataframe_records": {"type": "array", "items": {"type": "object"}},
                "instances": {"type": "array"},
                "inputs": {},
            },
        }
    },
    "text/csv": {"schema": {"type": "string"}},
}
ANSWER = {
    "application/json": {"schema": {"type": "object", "properties": {"predictions": {"type": "array"}}}}
}


def decode(call: Call, body: bytes, model: ServedModel) -> Decoded:
    """Rows in one of MLflow's formats, by the content type."""
    given = call.headers.get(b"content-type", b"application/json").decode("latin-1")
    kind = given.split(";")[0].strip().lower()
    if kind == "text/csv":
        rows = _from_csv(body, model.schema, model.max_rows)
    elif kind == "application/json":
        rows = _from_json(body, model.schema, model.max_rows)
    else:
        detail = f"Content type {kind!r} is not known here. Send application/json or text/csv."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    return Decoded(model.schema.convert(rows))


def encode(call: Call, decoded: Decoded, answered: Answered) -> Reply:
    """Predictions in MLflow's answer format."""
    return Reply(encode_json({"predictions": answered.predictions}))


async def ping(request: Request) -> Response:
    """Whether there is a model to ask."""
    readiness(request.app.state.service)
    return Response("\n", media_type="application/json")


async def version() -> Response:
    """The version of MLflow that loads the model."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


def _from_json(body: bytes, schema: RequestSchema, most: int) -> list[Any]:
    sent = bodies.decode(msgspec.json.decode, body)
    given = [name for name in FORMATS if isinstance(sent, dict) and name in sent]
    if len(given) != 1:
        raise invalid_input(f"The body must be an object with one of {', '.join(FORMATS)}.")
    if sent.get("params"):
        raise invalid_input("'params' are not taken here: the model's own configuration decides.")
    value = sent[given[0]]
    if given == ["dataframe_split"]:
        return _from_split(value, schema, most)
    if isinstance(value, dict) and given == ["inputs"]:  # {column: values} or {column: value}
        columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in value.items()}
        if len({len(cells) for cells in columns.values()}) > 1:
            raise invalid_input("The columns of 'inputs' are not of one length.")
        require_room(max(map(len, columns.values()), default=0), 0, most)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = value if isinstance(value, list) else [value]
    require_room(len(rows), 0, most)
    if schema.columns and rows and isinstance(rows[0], list):
        return [_named(row, schema.columns) for row in rows]
    return rows


def _from_split(value: Any, schema: RequestSchema, most: int) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise invalid_input("'dataframe_split' must be an object with 'columns' and 'data'.")
    columns = value.get("columns") or schema.columns
    if not isinstance(columns, list | tuple) or not all(isinstance(name, str) for name in columns):
        raise invalid_input("'columns' of 'dataframe_split' must be a list of names.")
    require_room(len(value["data"]), 0, most)
    return [_named(row, columns) for row in value["data"]]


def _from_csv(body: bytes, schema: RequestSchema, most: int) -> list[Any]:
    """The first line names the columns; an empty cell is a missing value."""
    try:
        read = csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        lines = list(islice(filter(None, read), most + 2))  # the names, and one row too many
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_csv", f"The body is not CSV: {error}.") from None
    if not lines:
        raise invalid_input("The CSV is empty: its first line must name the columns.")
    require_room(len(lines) - 1, 0, most)
    cast = schema.from_text
    rows = [_named(line, lines[0]) for line in lines[1:]]
    return [{name: cast(name, text) for name, text in row.items() if text != ""} for row in rows]


def _named(row: Any, columns: Any) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(columns):
        raise invalid_input(f"A row must be a list of {len(columns)} values: {', '.join(columns)}.")
    return dict(zip(columns, row, strict=True))


ROUTES = (
    InferenceRoute(
        path="/invocations",
        tag="inference",
        request=REQUEST,
        decode=decode,
        encode=encode,
        summary="Predictions for MLflow's request formats",
        answer=ANSWER,
    ),
    get("/ping", ping, "mlflow", access="open"),
    get("/health", ping, "mlflow", access="open"),
    get("/version", version, "mlflow", access="open"),
)
