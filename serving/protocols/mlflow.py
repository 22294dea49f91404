"""What clients of MLflow's scoring server send: /invocations in all its formats, /ping, /health and /version.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#json-input
"""

import csv
import io
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from serving.inference.batching import require_room
from serving.inference.predictions import plain
from serving.inference.predictor import Engine
from serving.inference.schema import RequestSchema
from serving.operations.health import readiness
from serving.web.bodies import decode
from serving.web.gateway import Call, Reply
from serving.web.problems import Problem, misfit

router = APIRouter(tags=["mlflow"])
encode = msgspec.json.Encoder(enc_hook=plain).encode
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@router.get("/ping")
@router.get("/health")
async def ping(request: Request) -> Response:
    """Whether there is a model to ask."""
    readiness(request.app.state.engine)
    return Response("\n", media_type="application/json")


@router.get("/version")
async def version() -> Response:
    """The version of MLflow that loads the model."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


async def invocations(engine: Engine, call: Call) -> Reply:
    """Predictions for MLflow's request formats, in MLflow's answer format."""
    body = await call.body()
    champion = engine.holder.current()
    kind = (
        call.headers.get(b"content-type", b"application/json").decode("latin-1").split(";")[0].strip().lower()
    )
    most = engine.settings.serving.queue_rows
    if kind == "text/csv":
        rows = _from_csv(body, champion.schema, most)
    elif kind == "application/json":
        rows = _from_json(body, champion.schema, most)
    else:
        detail = f"Content type {kind!r} is not known here. Send application/json or text/csv."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    answered = await engine.infer(champion, champion.schema.convert(rows), call.request_id, len(body))
    return Reply(encode({"predictions": answered.predictions}))


def _from_json(body: bytes, schema: RequestSchema, most: int) -> list[Any]:
    sent = decode(msgspec.json.decode, body)
    given = [name for name in FORMATS if isinstance(sent, dict) and name in sent]
    if len(given) != 1:
        raise misfit(f"The body must be an object with one of {', '.join(FORMATS)}.")
    if sent.get("params"):
        raise misfit("'params' are not taken here: the model's own configuration decides.")
    value = sent[given[0]]
    if given == ["dataframe_split"]:
        return _from_split(value, schema, most)
    if isinstance(value, dict) and given == ["inputs"]:  # {column: values} or {column: value}
        columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in value.items()}
        if len({len(cells) for cells in columns.values()}) > 1:
            raise misfit("The columns of 'inputs' are not of one length.")
        require_room(max(map(len, columns.values()), default=0), 0, most)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = value if isinstance(value, list) else [value]
    require_room(len(rows), 0, most)
    if schema.columns and rows and isinstance(rows[0], list):
        return [_named(row, schema.columns) for row in rows]
    return rows


def _from_split(value: Any, schema: RequestSchema, most: int) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise misfit("'dataframe_split' must be an object with 'columns' and 'data'.")
    columns = value.get("columns") or schema.columns
    if not isinstance(columns, list | tuple) or not all(isinstance(name, str) for name in columns):
        raise misfit("'columns' of 'dataframe_split' must be a list of names.")
    require_room(len(value["data"]), 0, most)
    return [_named(row, columns) for row in value["data"]]


def _from_csv(body: bytes, schema: RequestSchema, most: int) -> list[Any]:
    """The first line names the columns; an empty cell is a missing value."""
    try:
        read = csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        lines = list(islice(filter(None, read), most + 2))  # the names, and a row more than is taken
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_csv", f"The body is not CSV: {error}.") from None
    if not lines:
        raise misfit("The CSV is empty: its first line must name the columns.")
    require_room(len(lines) - 1, 0, most)
    cast = schema.from_text
    rows = [_named(line, lines[0]) for line in lines[1:]]
    return [{name: cast(name, text) for name, text in row.items() if text != ""} for row in rows]


def _named(row: Any, columns: Any) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(columns):
        raise misfit(f"A row must be a list of {len(columns)} values: {', '.join(columns)}.")
    return dict(zip(columns, row, strict=True))
