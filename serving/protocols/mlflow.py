"""MLflow's scoring protocol: /invocations in all its formats, /ping, /health and /version.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#json-input
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Request, Response

from serving.inference.json_values import encode_json
from serving.inference.params import known_params
from serving.inference.predictor import Answered
from serving.inference.refusals import listed
from serving.inference.rows import replace
from serving.models.served import ServedModel
from serving.operations.health import readiness
from serving.protocols import mlflow_bodies
from serving.protocols.inference import Decoded, InferenceRoute
from serving.web.call import JSON, Call, Reply
from serving.web.problems import MAX_SHOWN, Problem
from serving.web.route import get

#: Headers of an answer. MLflow's server ignores these names too: params that the model does not have,
#: and keys of the body beside the format and ``params``.
IGNORED_PARAMS, IGNORED_FIELDS = b"mlops-ignored-params", b"mlops-ignored-fields"

#: Characters that no header may have.
CONTROL = bytes([*range(32), 127])


class Own(NamedTuple):
    """The fields of a request that the encoder needs: whether the body was the row,
    and the names that were ignored."""

    is_row: bool
    ignored_params: Sequence[str]
    ignored_fields: Sequence[str]


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
    """Rows in one of MLflow's formats, by the content type.
    Columns and params that the model lacks are ignored."""
    kind = _content_type(call.headers.get(b"content-type", b"application/json").decode("latin-1"))
    if kind == "text/csv":
        sent = mlflow_bodies.Sent(mlflow_bodies.from_csv(body, model.schema, model.max_rows))
    elif kind == "application/json":
        sent = mlflow_bodies.from_json(body, model.schema, model.max_rows)
    else:
        raise _unsupported(f"Content type {kind!r} is not known here. Send application/json or text/csv.")
    params, ignored = known_params(model.schema, sent.params)
    rows = model.schema.convert(sent.rows, as_mlflow=True)
    return Decoded(replace(rows, params=params, any_count=True), own=Own(sent.is_row, ignored, sent.ignored))


def example(model: ServedModel) -> dict[str, Any] | None:
    """The row that was logged with the model."""
    return {"dataframe_records": [model.example]} if isinstance(model.example, dict) else None


def encode(call: Call, decoded: Decoded, answered: Answered) -> Reply:
    """Predictions in MLflow's answer format; without a key for a body that was itself the row."""
    own: Own = decoded.own
    answer = answered.predictions if own.is_row else {"predictions": answered.predictions}
    ignored = ((IGNORED_PARAMS, own.ignored_params), (IGNORED_FIELDS, own.ignored_fields))
    return Reply(
        encode_json(answer), [JSON, *((header, _shown(names)) for header, names in ignored if names)]
    )


def _shown(names: Sequence[str]) -> bytes:
    """Names as the value of a header: without line ends, and not endless."""
    return (
        listed(name[:MAX_SHOWN] for name in names)
        .encode("ascii", "backslashreplace")
        .translate(None, CONTROL)
    )


def _content_type(header: str) -> str:
    """The content type. UTF-8 is the only character set, and no other parameter is known."""
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name != "charset" or value.strip('"') != "utf-8":
            raise _unsupported(
                f"Content type {header!r} has {parameter!r}; only charset=utf-8 is known here."
            )
    return kind


def _unsupported(detail: str) -> Problem:
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


async def ping(request: Request) -> Response:
    """Whether there is a model to ask."""
    readiness(request.app.state.service)
    return Response("\n", media_type="application/json")


async def version() -> Response:
    """The version of MLflow that loads the model."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


ROUTES = (
    InferenceRoute(
        path="/invocations",
        tag="inference",
        request=REQUEST,
        example=example,
        decode=decode,
        encode=encode,
        summary="Predictions for MLflow's request formats",
        answer=ANSWER,
    ),
    get("/ping", ping, "mlflow", access="open"),
    get("/health", ping, "mlflow", access="open"),
    get("/version", version, "mlflow", access="open"),
)
