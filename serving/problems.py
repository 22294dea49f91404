"""Errors as problem objects (RFC 9457) with a stable `code`; never a traceback."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mlops_lib.errors import InputError

log = logging.getLogger("serving")


class Problem(Exception):
    """An answer other than the one that was asked for.

    Args:
        status: HTTP status code.
        code: Stable name for programs: ``invalid_json``, ``invalid_input``, ``model_not_ready``, ...
        detail: What happened, with which value, and what to do.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def install(app: FastAPI) -> None:
    """Map every exception to a problem object."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return response(request, error.status, error.code, error.detail)

    @app.exception_handler(InputError)
    async def _input(request: Request, error: InputError) -> JSONResponse:
        return response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", str(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return response(request, status, status.name.lower(), str(error.detail))

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        # The traceback goes to the log under the request's id; the caller gets the id.
        log.error("request %s failed", request.state.request_id, exc_info=error)
        detail = "The service failed on this request. Its log has the reason under this request id."
        return response(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def response(request: Request, status: HTTPStatus, code: str, detail: str) -> JSONResponse:
    """A problem object for `request`."""
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
        "request_id": request.state.request_id,
    }
    return JSONResponse(content, status.value, media_type="application/problem+json")
