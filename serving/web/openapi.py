"""/openapi.json and /docs, in which the request is the loaded model's own."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from mlops_lib.registry import ModelVersion
from serving.inference.predictor import Engine
from serving.inference.schema import REFERENCE
from serving.models.served import ServedModel
from serving.operations.feedback import Outcome
from serving.protocols.open_inference import Inference
from serving.protocols.openai import ChatRequest
from serving.web.problems import MEDIA_TYPE

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
        "model": CARD,
        "request_id": {"type": "string"},
        "features": {"type": "object", "description": "where looked-up features came from"},
    },
}
INVOCATIONS = {
    "type": "object",
    "description": "One of MLflow's formats.",
    "properties": {
        "dataframe_split": {"type": "object"},
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {"type": "array"},
        "inputs": {},
    },
}
#: Bodies that a route reads by itself, as every route does: FastAPI knows nothing of them.
BODIES: dict[str, type[msgspec.Struct]] = {
    "/feedback": Outcome,
    "/v1/chat/completions": ChatRequest,
    "/v2/models/{name}/infer": Inference,
    "/v2/models/{name}/versions/{version}/infer": Inference,
}

#: Addresses relative to /docs, so that the page works behind a proxy, whatever its scheme and prefix.
DOCS: dict[str, Any] = {
    "openapi_url": "openapi.json",
    "swagger_js_url": "swagger/swagger-ui-bundle.js",
    "swagger_css_url": "swagger/swagger-ui.css",
    "swagger_favicon_url": "swagger/favicon-32x32.png",
}


def install(app: FastAPI, engine: Engine) -> None:
    """Make `app` describe itself by the model that is served at that moment."""

    made: tuple[ModelVersion | None, dict[str, Any]] | None = None

    def describe() -> dict[str, Any]:
        nonlocal made
        served = engine.holder.served.get("champion")
        version = served.version if served else None
        if made is None or made[0] != version:
            made = version, document_of(served)
        return made[1]

    def document_of(served: ServedModel | None) -> dict[str, Any]:
        body, components = served.schema.json_schema() if served else ({"type": "object"}, {})
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components, Problem=PROBLEM, Answer=ANSWER)
        answer = _json({"$ref": "#/components/schemas/Answer"})
        example = (
            None  # a row of somebody's data: where there are keys, /status shows it to those who have one
        )
        if served and isinstance(served.example, dict) and not engine.keys.file:
            example = {"inputs": served.example}
        for path in ("/predict", "/invoke"):
            document["paths"][path] = {
                "post": _operation(path, "Predictions for rows", _json(body, example), answer)
            }
        document["paths"]["/invocations"] = {
            "post": _operation(
                "/invocations",
                "Predictions for MLflow's request formats",
                _json(INVOCATIONS) | {"text/csv": {"schema": {"type": "string"}}},
                _json({"type": "object", "properties": {"predictions": {"type": "array"}}}),
            )
        }
        document["paths"]["/features"]["post"]["requestBody"] = _body(_json(body, example))
        for path, asked in BODIES.items():
            (schema,), parts = msgspec.json.schema_components([asked], ref_template=REFERENCE)
            schemas.update(parts)
            document["paths"][path]["post"]["requestBody"] = _body(_json(schema))
        problem = {
            "description": "A problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
                for parameter in operation.get("parameters", ()):
                    if served and parameter["name"] in ("name", "version"):  # there is one of each
                        parameter["schema"]["enum"] = [str(getattr(served.version, parameter["name"]))]
        return document

    app.openapi = describe  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(title=app.title, **DOCS)


def _operation(path: str, summary: str, bodies: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["inference"],
        "summary": summary,
        "operationId": path.strip("/"),
        "requestBody": _body(bodies),
        "responses": {"200": {"description": "Predictions", "content": answer}},
    }


def _body(bodies: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": bodies}


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({"example": example} if example else {})}}
