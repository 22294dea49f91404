"""/docs and /openapi.json. FastAPI's own page fetches its scripts from the internet,
which a cluster may not reach."""

import importlib.resources
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, JSONResponse

from serving.web.problems import Problem
from serving.web.route import get

#: Addresses relative to /docs, so that the page works behind a proxy, whatever its scheme and prefix.
DOCS: dict[str, Any] = {
    "openapi_url": "openapi.json",
    "swagger_js_url": "swagger/swagger-ui-bundle.js",
    "swagger_css_url": "swagger/swagger-ui.css",
    "swagger_favicon_url": "swagger/favicon-32x32.png",
}
FILES = {address.removeprefix("swagger/") for address in DOCS.values() if address.startswith("swagger/")}


async def docs(request: Request) -> HTMLResponse:
    """The API's description for people."""
    return get_swagger_ui_html(title=request.app.title, **DOCS)


async def openapi(request: Request) -> JSONResponse:
    """The API's description for programs; behind a proxy with a prefix, it names the prefix."""
    document = request.app.openapi()
    if prefix := request.scope.get("root_path", "").rstrip("/"):
        document = {**document, "servers": [{"url": prefix}]}
    return JSONResponse(document)


async def swagger(file: str) -> FileResponse:
    """A file of the page."""
    if file not in FILES:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", f"There is no file {file!r}.")
    folder = importlib.resources.files("fastapi_swagger") / "resources"
    return FileResponse(str(folder / file))


ROUTES = (
    get("/docs", docs, "pages", access="open", shown=False),
    get("/openapi.json", openapi, "pages", access="open", shown=False),
    get("/swagger/{file}", swagger, "pages", access="open", shown=False),
)
