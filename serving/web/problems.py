"""Errors as problem objects (RFC 9457) with a stable `code`; never a traceback."""

import logging
from collections.abc import Mapping
from enum import IntEnum
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mlops_lib.columns.encode import BadValue
from mlops_lib.errors import InputError
from mlops_lib.redact.output import shown

log = logging.getLogger("serving")
MEDIA_TYPE = "application/problem+json"
#: Most letters of a value in an error.
MAX_SHOWN = 100


class ClosedRequest(IntEnum):
    """The status that is counted for a caller who has left. It is nginx's; HTTP has none."""

    CLIENT_CLOSED_REQUEST = 499

    @property
    def phrase(self) -> str:
        """Its name in words."""
        return "Client Closed Request"


class Problem(Exception):
    """An error answer.

    Args:
        status: HTTP status code.
        code: Stable name for programs: ``invalid_json``, ``invalid_input``, ``model_not_ready``, ...
        detail: What happened, with which value, and what to do.
        retry_after_s: When to try again, where that helps.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus | ClosedRequest,
        code: str,
        detail: str,
        retry_after_s: int = 0,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        # Every error that reaches a caller is one of these, whatever the protocol's form of it.
        self.status, self.code, self.detail, self.retry_after_s = status, code, shown(detail), retry_after_s
        self._headers = headers

    def body(self, request_id: str) -> bytes:
        """The problem object, encoded."""
        return msgspec.json.encode(
            {
                "type": "about:blank",
                "title": self.status.phrase,
                "status": self.status.value,
                "code": self.code,
                "detail": self.detail,
                "request_id": request_id,
            }
        )

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """`headers` in the form of ASGI."""
        return [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        headers = {
            **self._headers,
            **({"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}),
        }
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {})


def invalid_input(detail: str) -> Problem:
    """The answer to a well-formed request that the model or the protocol does not take."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", detail)


def too_large(limit: int) -> Problem:
    """The answer to a body of more than `limit` bytes."""
    detail = f"The body is longer than {limit} bytes (serving.body_bytes). Send fewer rows a request."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


def disconnected(before: str) -> Problem:
    """The answer that is counted for a caller who has left."""
    detail = f"The caller hung up before {before}."
    return Problem(ClosedRequest.CLIENT_CLOSED_REQUEST, "disconnected", detail)


def as_problem(error: Exception, request_id: str) -> Problem:
    """The problem for any exception. The text of an unexpected one goes to the log, not to the caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InputError):
        return invalid_input(str(error))
    if isinstance(error, BadValue):
        value = msgspec.json.encode(error.value, enc_hook=str).decode()
        shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
        return invalid_input(
            f"Row {error.row}: column {error.column!r} is {shown}, and must be {error.wanted}."
        )
    if isinstance(error, ClientDisconnect):
        return disconnected("the body's end")
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return Problem(status, status.name.lower(), str(error.detail))
    log.error("request failed", exc_info=error, extra={"request_id": request_id})
    detail = "The service failed on this request. Its log has the reason under this request id."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def install(app: FastAPI) -> None:
    """Map every exception of FastAPI's routes to a problem object."""

    async def _answer(request: Request, error: Exception) -> Response:
        request_id = request.state.call.request_id
        problem = as_problem(error, request_id)
        headers = problem.headers | dict(getattr(error, "headers", None) or {})  # such as Allow, for 405
        return Response(problem.body(request_id), problem.status.value, headers, MEDIA_TYPE)

    for kind in (Problem, InputError, BadValue, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _answer)
