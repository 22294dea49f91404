"""/predict and /invoke: rows in, predictions out, whole or as events; /features: the rows as the model gets them.

Events are ``token`` ``{"text", "path"}``, ``update`` ``{"path", "changes"}``, ``custom`` ``{"path", "data"}`` and ``contexts``
``{"contexts"}``; `path` names a graph's nodes from the outer one to the inner one. The last event is ``prediction`` or
``interrupt``, with the same object as the plain answer, or ``error``, with a problem object.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from mlops_lib.wrappers.interface import StreamEvent
from serving.features.statuses import HEADER
from serving.inference.json_values import encode_json
from serving.inference.predictor import Answered
from serving.inference.rows import Rows
from serving.models.served import ServedModel
from serving.protocols import uploads
from serving.protocols.inference import Decoded, InferenceRoute
from serving.service import Service
from serving.web.call import JSON, Call, Reply
from serving.web.forms import FORM
from serving.web.problems import Problem, as_problem, invalid_input
from serving.web.route import MODEL_ROWS, Body, post
from serving.web.sse import EVENT_STREAM, HEADERS, event

TAG = "inference"
#: Content of a good answer, for OpenAPI.
ANSWER = {
    "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
    EVENT_STREAM.decode(): {
        "schema": {
            "type": "string",
            "description": "For a caller with Accept: text/event-stream. Events: token {text, path}; where the model shows them, "
            "update {path, changes}, custom {path, data} and contexts {contexts}; last prediction or interrupt (an Answer), or error (a Problem).",
        }
    },
}

#: Content types whose schema the served model lacks are left out of its description.
ROWS_OR_FILES: Body = {
    **MODEL_ROWS,
    FORM: {"schema": {"$ref": "#/components/schemas/Form"}},
    uploads.IMAGE: {"schema": {"$ref": "#/components/schemas/Image"}},
}


def decode(call: Call, body: bytes, model: ServedModel) -> Decoded:
    """Rows of the model's own schema; with ``Accept: text/event-stream`` exactly one, for a stream."""
    decoded = Decoded(_rows(call, body, model), EVENT_STREAM in call.headers.get(b"accept", b""))
    if decoded.stream and len(decoded.rows) != 1:
        raise invalid_input(
            f"A stream answers one row, and {len(decoded.rows)} came. Send one, or leave out "
            f"'Accept: {EVENT_STREAM.decode()}'."
        )
    return decoded


def _rows(call: Call, body: bytes, model: ServedModel) -> Rows:
    """The rows of JSON, a form or an image, by the content type."""
    content_type = call.headers.get(b"content-type", b"")
    if content_type != JSON[1]:
        if content_type[: len(FORM)].lower() == FORM.encode():
            return uploads.of_form(body, content_type, model.schema, model.max_rows)
        if content_type[:6].lower() == b"image/":
            return uploads.of_image(body, model.schema)
    try:
        return model.schema.parse(body)
    except Problem as problem:
        if problem.code != "invalid_json" or not model.schema.images:
            raise
        detail = f"{problem.detail} Send an image with its own type, such as Content-Type: image/png, or in a form."
        raise Problem(problem.status, problem.code, detail) from None


def example(model: ServedModel) -> Any:
    """The row that was logged with the model."""
    return {"inputs": model.example} if isinstance(model.example, dict) else None


def encode(call: Call, decoded: Decoded, answered: Answered) -> Reply:
    """Predictions in the order of the rows; a single prediction for a single row."""
    whole = not (decoded.rows.single or decoded.stream)
    predictions = answered.predictions
    answer: dict[str, Any] = {"predictions": predictions if whole else predictions[0]}
    answer |= answered.served.names_json
    answer["model"] = answered.served.card_json
    answer["request_id"] = call.request_id
    headers = HEADERS if decoded.stream else [JSON]
    if answered.features:
        answer["features"] = answered.features.field
        headers = [*headers, (HEADER.lower().encode(), answered.features.header.encode())]
    if decoded.stream:  # of a model that answers in one piece
        return Reply(event("prediction", answer).encode(), headers)
    return Reply(encode_json(answer), headers)


async def events(
    call: Call, decoded: Decoded, model: ServedModel, events: AsyncGenerator[StreamEvent]
) -> AsyncGenerator[str]:
    """The events of one row. Once the answer has begun, its status cannot say that it failed:
    an event does."""
    try:
        async with aclosing(events):
            async for kind, data, path in events:
                if kind == "token":
                    yield event(kind, {"text": data, "path": path})
                elif kind == "update":
                    yield event(kind, {"path": path, "changes": data})
                elif kind == "custom":
                    yield event(kind, {"path": path, "data": data})
                elif kind == "contexts":
                    yield event(kind, {"contexts": data})
                else:
                    answer = {"predictions": data, "model": model.card, "request_id": call.request_id}
                    yield event(kind, answer)
    except Exception as error:
        problem = as_problem(error, call.request_id)
        call.code = problem.code
        yield event("error", json.loads(problem.body(call.request_id)))


async def features(request: Request) -> Response:
    """The body of /predict in, the model's columns of each row out, with where they came from."""
    body = await request.body()
    service: Service = request.app.state.service
    served = service.models.current()
    if served.enricher is None:
        version = f"{served.version.name} version {served.version.version}"
        raise Problem(
            HTTPStatus.NOT_FOUND, "no_feature_service", f"{version} was trained without a feature store."
        )
    decoded = served.schema.parse(body)
    with served:
        rows, statuses = await served.enricher.enrich(decoded.given())
    answer: dict[str, Any] = {
        "rows": rows[0] if decoded.single else rows,
        "model": served.card,
        "features": statuses.field,
    }
    return Response(encode_json(answer), media_type="application/json", headers={HEADER: statuses.header})


ROUTES = (
    *(
        InferenceRoute(
            path=path,
            tag=TAG,
            request=ROWS_OR_FILES,
            example=example,
            decode=decode,
            encode=encode,
            events=events,
            summary="Predictions for rows",
            answer=ANSWER,
        )
        for path in ("/predict", "/invoke")
    ),
    post("/features", features, TAG, request=MODEL_ROWS),
)
