"""/openapi.json, derived from the route table and the schema of the served model."""

import re
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mlops_lib.registry import ModelVersion
from serving.inference.schema import REFERENCE
from serving.models.served import ServedModel
from serving.protocols.inference import InferenceRoute
from serving.service import Service
from serving.web.problems import MEDIA_TYPE
from serving.web.route import MODEL_ROWS, HandlerRoute, Route
from serving.web.routes import RouteTable

PROBLEM = {
    "type": "object",
    "required": ["status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "stable name, for programs"},
        "detail": {"type": "string", "description": "what happened, with which value, and what to do"},
        "request_id": {"type": "string"},
    },
}
CARD = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "integer"},
        "stage": {"type": "string"},
        "run_id": {"type": "string"},
    },
}
ANSWER = {
    "type": "object",
    "required": ["predictions", "model", "request_id"],
    "properties": {
        "predictions": {"description": "one for each row, in order; a single one for a single row"},
        "classes": {
            "type": "array",
            "description": "of a classifier, in the order of its probabilities; for two classes a prediction is the "
            "probability of the last one",
        },
        "model": CARD,
        "request_id": {"type": "string"},
        "features": {"type": "object", "description": "where looked-up features came from"},
    },
}
ANY_JSON: dict[str, Any] = {"application/json": {"schema": {}}}
A_PROBLEM = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def install(app: FastAPI, table: RouteTable, service: Service) -> None:
    """Make `app` describe itself by the model that is served at that moment."""
    made: tuple[ModelVersion | None, dict[str, Any]] | None = None

    def describe() -> dict[str, Any]:
        nonlocal made
        served = service.models.served.get("champion")
        version = served.version if served else None
        if made is None or made[0] != version:
            made = version, _document(app, table, served, has_keys=bool(service.keys.file))
        return made[1]

    app.openapi = describe  # type: ignore[method-assign]


def _document(app: FastAPI, table: RouteTable, served: ServedModel | None, has_keys: bool) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = served.schema.json_schema() if served else {"Body": {"type": "object"}}
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(components, Problem=PROBLEM, Answer=ANSWER)
    example = None
    # It is a row of somebody's data: where there are keys, only /status shows it, to callers with a key.
    if served and isinstance(served.model.example, dict) and not has_keys:
        example = {"inputs": served.model.example}
    for route in table.routes:
        if isinstance(route, HandlerRoute) and not route.shown:
            continue
        operations = document["paths"].setdefault(route.path, {})
        if isinstance(route, InferenceRoute):
            operations["post"] = _operation(route)
        operation = operations[route.method.lower()]
        if route.request is not None:
            content, parts = _content(route)
            schemas.update(parts)
            if route.request is MODEL_ROWS and example:
                content = {kind: {**media, "example": example} for kind, media in content.items()}
            operation["requestBody"] = {"required": True, "content": content}
        operation["responses"].pop("422", None)  # FastAPI's own form of error, which no route has
        operation["responses"]["default"] = A_PROBLEM
        for parameter in operation.get("parameters", ()):
            if served and parameter["name"] in ("name", "version"):  # there is one of each
                parameter["schema"]["enum"] = [str(getattr(served.version, parameter["name"]))]
    return document


def _operation(route: InferenceRoute) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": "_".join(re.findall(r"\w+", route.path)),
        "responses": {"200": {"description": "Predictions", "content": dict(route.answer or ANY_JSON)}},
    }
    places = dict.fromkeys(re.findall(r"\{(\w+)\}", route.path), "path") | dict.fromkeys(route.query, "query")
    if places:
        operation["parameters"] = [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
            for name, place in places.items()
        ]
    return operation


def _content(route: Route) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a route's request, and the components that it refers to."""
    if not isinstance(route.request, type):
        return dict(route.request or {}), {}
    (schema,), parts = msgspec.json.schema_components([route.request], ref_template=REFERENCE)
    return {"application/json": {"schema": schema}}, parts
