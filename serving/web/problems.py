"""Errors as problem objects (RFC 9457) with a stable `code`; never a traceback."""

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from enum import IntEnum
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.images import Described
from mlops_lib.errors import InputError, ThreadError
from mlops_lib.redact.output import shown
from serving.web.failures import failures

MEDIA_TYPE = "application/problem+json"
#: Most letters of a value in an error.
MAX_SHOWN = 100
#: Content types of clients that declare none: ``curl -d`` sends the second.
UNDECLARED = ("", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain")
#: Code of a conversation's error -> status, where it is not 422.
THREAD_STATUSES = {"unknown_thread": HTTPStatus.NOT_FOUND, "nothing_open": HTTPStatus.CONFLICT}


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
        columns: The values at fault, where they are known: ``row``,
            ``column`` and the value wanted as ``detail``.
    """

    def __init__(
        self,
        status: HTTPStatus | ClosedRequest,
        code: str,
        detail: str,
        retry_after_s: int = 0,
        headers: Mapping[str, str] = MappingProxyType({}),
        columns: Sequence[Mapping[str, int | str]] = (),
    ) -> None:
        super().__init__(detail)
        # Every error that reaches a caller is one of these, whatever the protocol's form of it.
        self.status, self.code, self.detail, self.retry_after_s = status, code, shown(detail), retry_after_s
        self._headers, self._columns = headers, columns

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
                **({"errors": self._columns} if self._columns else {}),
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


def shown_value(value: object) -> str:
    """A value for a message, as JSON, cut if it is long; of an image its description."""
    if isinstance(value, Described):
        return str(value)
    if isinstance(value, float) and math.isinf(value):  # JSON has no word for it, and null would be a gap
        return "Infinity" if value == math.inf else "-Infinity"
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def unsupported(path: str, kind: str) -> Problem:
    """The answer to a body of another content type than JSON."""
    detail = f"{path} takes application/json, and the body is {kind}."
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def other_than_json(header: bytes) -> str:
    """The content type that a caller declares; "" if it is JSON,
    or what clients send when they are told none."""
    given = header.decode("latin-1").split(";")[0].strip().lower()
    return "" if "json" in given or given in UNDECLARED else given


def invalid_input(detail: str, columns: Sequence[Mapping[str, int | str]] = ()) -> Problem:
    """The answer to a well-formed request that the model or the protocol does not take;
    `columns` as of `Problem`."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", detail, columns=columns)


def too_large(limit: int) -> Problem:
    """The answer to a body of more than `limit` bytes."""
    detail = f"The body is longer than {limit} bytes (serving.body_bytes). Send fewer rows a request."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


def bodies_too_large(limit: int) -> Problem:
    """The answer to a body for which there is no memory now."""
    detail = f"The bodies of the requests that wait have {limit} bytes already. Try again after the time in Retry-After."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, retry_after_s=1)


def disconnected(before: str) -> Problem:
    """The answer that is counted for a caller who has left."""
    detail = f"The caller hung up before {before}."
    return Problem(ClosedRequest.CLIENT_CLOSED_REQUEST, "disconnected", detail)


def as_problem(error: Exception, request_id: str) -> Problem:
    """The problem for any exception. The text of an unexpected one goes to the log, not to the caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ThreadError):
        status = THREAD_STATUSES.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
        return Problem(status, error.code, str(error))
    if isinstance(error, InputError):
        return invalid_input(str(error))
    if isinstance(error, BadValue):
        value = shown_value(error.value)
        return invalid_input(
            f"Row {error.row}: column {error.column!r} is {value}, and must be {error.wanted}.",
            [{"row": error.row, "column": error.column, "detail": f"must be {error.wanted}"}],
        )
    if isinstance(error, ClientDisconnect):
        return disconnected("the body's end")
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return Problem(status, status.name.lower(), str(error.detail))
    failures.log(
        logging.ERROR, {"error": type(error).__name__, "at": _origin(error)}, error, request_id=request_id
    )
    detail = "The service failed on this request. Its log has the reason, under this request id or that of an earlier one."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def _origin(error: Exception) -> str:
    """File and line that raised an exception."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return f"{frames[-1][0].f_code.co_filename}:{frames[-1][1]}" if frames else ""


def install(app: FastAPI) -> None:
    """Map every exception of FastAPI's routes to a problem object."""

    async def _answer(request: Request, error: Exception) -> Response:
        request_id = request.state.call.request_id
        problem = as_problem(error, request_id)
        kind = other_than_json(request.headers.get("content-type", "").encode("latin-1"))
        if problem.code == "invalid_json" and kind:
            problem = unsupported(request.url.path, kind)
        request.state.call.code = problem.code
        headers = problem.headers | dict(getattr(error, "headers", None) or {})  # such as Allow, for 405
        return Response(problem.body(request_id), problem.status.value, headers, MEDIA_TYPE)

    for kind in (Problem, InputError, BadValue, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _answer)
