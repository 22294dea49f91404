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
from serving.web.route import HandlerRoute, Route
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
        "errors": {
            "type": "array",
            "description": "the values at fault, where they are known",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer", "description": "counted from 0"},
                    "column": {"type": "string"},
                    "detail": {"type": "string", "description": "the value wanted"},
                },
            },
        },
    },
}
CARD = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "integer"},
        "stage": {"type": ["string", "null"], "description": "null: the version is at no stage"},
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
        "labels": {
            "type": "array",
            "description": "of a model with several labels, in the order of the numbers of a prediction",
        },
        "model": CARD,
        "request_id": {"type": "string"},
        "features": {"type": "object", "description": "where looked-up features came from"},
    },
}
#: Most classes that the description lists.
MAX_CLASSES = 20
#: Two ways to send a key; either is enough.
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
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
    if served:
        document["info"]["description"] = _about(served)
    if has_keys:
        document["components"]["securitySchemes"] = SECURITY
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
            content = {kind: about for kind, about in content.items() if _is_known(about, schemas)}
            # It is a row of somebody's data: where there are keys, only /status shows it,
            # to callers with a key.
            is_shown = served is not None and not has_keys and not served.long_images
            example = route.example(served) if route.example and is_shown else None
            if example is not None:
                json = content["application/json"]
                content = {**content, "application/json": {**json, "example": example}}
            operation["requestBody"] = {"required": True, "content": content}
        if has_keys and route.access != "open":
            operation["security"] = [{name: []} for name in SECURITY]
        operation["responses"].pop("422", None)  # FastAPI's own form of error, which no route has
        operation["responses"]["default"] = A_PROBLEM
        for parameter in operation.get("parameters", ()):
            if served and parameter["name"] in ("name", "version"):  # there is one of each
                parameter["schema"]["enum"] = [str(getattr(served.version, parameter["name"]))]
    return document


def _about(served: ServedModel) -> str:
    """The served model in words: name, version, columns and answer."""
    v = served.version
    fields = served.schema.model_fields.values()
    lines = [
        f"This service answers with the model **{v.name}**, version {v.version}, stage {v.stage or 'none'}."
    ]
    if fields:
        needed = ", ".join(f"`{field.name}` ({field.wanted})" for field in fields)
        lines.append(f"Columns of a row: {needed}.")
    if served.enricher:
        lines.append("A row with its entity key alone is completed from the feature store.")
    if served.facts.classes:
        shown = ", ".join(f"`{name}`" for name in served.facts.classes[:MAX_CLASSES])
        more = len(served.facts.classes) - MAX_CLASSES
        lines.append(f"Classes: {shown}{f' and {more} more' if more > 0 else ''}.")
    if served.facts.labels:
        lines.append(f"Labels: {', '.join(f'`{name}`' for name in served.facts.labels[:MAX_CLASSES])}.")
    if served.waits:
        lines.append("It calls other services for each answer, and can stream.")
    return "\n\n".join(lines)


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


def _is_known(media: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether the schema that a media type refers to is there: it may be for other models."""
    name = media["schema"].get("$ref", "").rpartition("/")[2]
    return not name or name in schemas


def _content(route: Route) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a route's request, and the components that it refers to."""
    if not isinstance(route.request, type):
        return dict(route.request or {}), {}
    (schema,), parts = msgspec.json.schema_components([route.request], ref_template=REFERENCE)
    return {"application/json": {"schema": schema}}, parts
