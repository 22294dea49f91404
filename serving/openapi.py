"""/openapi.json and /docs, in which the request is the loaded model's own."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from serving.engine import Engine
from serving.problems import MEDIA_TYPE

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


#: Addresses relative to /docs, so that the page works behind a proxy, whatever its scheme and prefix.
DOCS: dict[str, Any] = {
    "openapi_url": "openapi.json",
    "swagger_js_url": "swagger/swagger-ui-bundle.js",
    "swagger_css_url": "swagger/swagger-ui.css",
    "swagger_favicon_url": "swagger/favicon-32x32.png",
}


def install(app: FastAPI, engine: Engine) -> None:
    """Make `app` describe itself by the model that is served at that moment."""

    def describe() -> dict[str, Any]:
        served = engine.holder.served.get("champion")
        body, components = served.schema.json_schema() if served else ({"type": "object"}, {})
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components, Problem=PROBLEM, Answer=ANSWER)
        answer = _json({"$ref": "#/components/schemas/Answer"})
        example = {"inputs": served.example} if served and isinstance(served.example, dict) else None
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
        problem = {
            "description": "A problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
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
        "requestBody": {"required": True, "content": bodies},
        "responses": {"200": {"description": "Predictions", "content": answer}},
    }


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({"example": example} if example else {})}}
