"""The outermost layer, plain ASGI: everything that every request goes through, and nothing twice.

It gives a request its id, lets it in or turns it away (draining, key, rate, body size, queue) before a byte
of the body is read, stops it when it takes too long, and counts it. Inference routes are answered from
here, without the routing and middleware that the other routes go through.
"""

import asyncio
import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette._utils import get_route_path  # what the router goes by, so that the two never differ
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.inference.predictor import Engine
from serving.web.api_keys import given_key
from serving.web.problems import MEDIA_TYPE, Problem, as_problem, disconnected

#: What we repeat of a caller's id: no line breaks, nothing that a log or a header would choke on.
SAFE_ID = re.compile(rb"[\w.:/+=-]{1,128}", re.ASCII)
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
EVENTS = b"text/event-stream"
CLOSE = (b"connection", b"close")
NEVER = float("inf")
#: Seconds between looks for requests that take too long.
SWEEP_S = 0.25
#: Routes that need no key: probes, scrapes, and the pages whose data need one.
OPEN = frozenset(
    ("/", "/livez", "/readyz", "/health", "/ping", "/version", "/metrics", "/docs", "/openapi.json",
     "/swagger/swagger-ui-bundle.js", "/swagger/swagger-ui.css", "/swagger/favicon-32x32.png", "/v2", "/v2/health/live", "/v2/health/ready")
)  # fmt: skip
ADMIN = "/model/"
#: Routes that also answer in events.
STREAMED = ("/predict", "/invoke")


def ids() -> Callable[[], str]:
    """A source of request ids: 32 hex digits, of which 16 are random and this process's own."""
    prefix, numbers = os.urandom(8).hex(), itertools.count(int.from_bytes(os.urandom(4)))
    return lambda: f"{prefix}{next(numbers):016x}"


new_id = ids()


class Reply(NamedTuple):
    """What an inference route answers with."""

    body: bytes
    headers: list[tuple[bytes, bytes]] = [JSON]  # noqa: RUF012  # never changed


class Call:
    """One request on its way."""

    __slots__ = ("deadline", "headers", "length", "limit", "receive", "request_id", "task", "timed_out")

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self.receive, self.limit = receive, limit
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if given and SAFE_ID.fullmatch(given) else new_id()
        length = self.headers.get(b"content-length", b"0")
        self.length = int(length) if length.isdigit() else 0
        self.timed_out = False
        self.task: asyncio.Task[Any] | None = None
        self.deadline = NEVER

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            Problem: 413 once it is longer than it may be; 400 when the caller hangs up midway.
        """
        chunks, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise disconnected("the body's end")
            chunks.append(chunk := message.get("body", b""))
            size += len(chunk)
            if size > self.limit:
                raise self.too_large()
            if not message.get("more_body"):
                return b"".join(chunks)

    def too_large(self) -> Problem:
        """The answer to a body that is too long."""
        detail = (
            f"The body is longer than {self.limit} bytes (serving.body_bytes). Send fewer rows a request."
        )
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


Endpoint = Callable[[Engine, Call], Awaitable[Reply]]


class Edge:
    """Wraps the whole application.

    Args:
        app: The other routes.
        engine: Answers inference.
        endpoints: POST routes of inference that are answered from here.
        inference: All routes of inference.
    """

    def __init__(
        self, app: ASGIApp, engine: Engine, endpoints: dict[str, Endpoint], inference: frozenset[str]
    ) -> None:
        self.app, self.engine, self.endpoints, self.inference = app, engine, endpoints, inference
        self.in_flight: set[Call] = set()
        limits = engine.settings.serving
        self.timeout_s, self.body_bytes = limits.request_timeout_s, limits.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        path = get_route_path(scope)
        call = Call(scope, receive, self.body_bytes)
        call.task = asyncio.current_task()
        call.deadline = began + self.timeout_s
        self.in_flight.add(call)
        tracing = self.engine.tracing if path not in OPEN else None
        span = tracing.start(scope["method"], call.headers) if tracing else None
        answer = _Answer(send, call, self.engine)
        endpoint = self.endpoints.get(path)
        if endpoint and path in STREAMED and EVENTS in call.headers.get(b"accept", b""):
            endpoint = None  # an answer in events is the router's
        try:
            admin = self._admit(call, path, endpoint)
            if endpoint:
                if scope["method"] != "POST":
                    raise Problem(
                        HTTPStatus.METHOD_NOT_ALLOWED,
                        "method_not_allowed",
                        f"{path} takes POST.",
                        headers={"Allow": "POST"},
                    )
                reply = await endpoint(self.engine, call)
                await answer.whole(200, reply.body, reply.headers)
            else:
                scope.setdefault("state", {}).update(request_id=call.request_id, admin=admin)
                await self.app(scope, self._limited(call), answer.send)
        except asyncio.CancelledError:
            if not call.timed_out:
                raise
            detail = f"No answer within {self.timeout_s:g} s (serving.request_timeout_s)."
            await answer.problem(Problem(HTTPStatus.GATEWAY_TIMEOUT, "timed_out", detail))
        except Exception as error:
            if answer.finished:  # Starlette raises again what it has already answered and logged
                pass
            elif answer.status:  # half an answer is out: closing the connection is all that can be said
                raise
            else:
                await answer.problem(as_problem(error, call.request_id))
        finally:
            self.in_flight.discard(call)
            route = path if endpoint else _route(scope)
            seconds = time.perf_counter() - began
            self.engine.metrics.answered(route, answer.status, seconds, route in self.inference)
            if tracing:
                tracing.end(span, scope["method"], route, answer.status, call.request_id)
            if answer.status >= 400 and path not in OPEN:  # a probe that fails is no news every second
                self.engine.log_failure(call.request_id, scope["method"], route, answer.status, seconds)

    async def sweep(self) -> None:
        """Stop requests that take too long, for ever; a request whose answer has begun is let finish."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.perf_counter()
            for call in [call for call in self.in_flight if call.deadline < now]:
                call.timed_out = True
                call.deadline = NEVER
                if call.task:
                    call.task.cancel()

    def _admit(self, call: Call, path: str, endpoint: Endpoint | None) -> bool:
        """Raise a Problem unless the request may go on; whether it is an admin's. Its body has not been read yet."""
        engine = self.engine
        admin = path.startswith(ADMIN)
        if path not in OPEN:
            if engine.refusing:
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "This process is stopping.", 1)
            if admin or engine.keys.file:
                headers = call.headers
                key = given_key(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))
                engine.keys.admit(key, admin)
        if call.length > call.limit:
            raise call.too_large()
        if endpoint:
            engine.require_room()
        return admin

    def _limited(self, call: Call) -> Receive:
        """`receive`, ending in a Problem when the body is too long."""
        seen = 0

        async def receive() -> Message:
            nonlocal seen
            message = await call.receive()
            seen += len(message.get("body", b""))
            if seen > call.limit:
                raise call.too_large()
            return message

        return receive


class _Answer:
    """Sends the answer, with the headers that every answer has."""

    __slots__ = ("_send", "call", "engine", "finished", "status")

    def __init__(self, send: Send, call: Call, engine: Engine) -> None:
        self._send, self.call, self.engine = send, call, engine
        self.status, self.finished = 0, False

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.call.deadline = status, NEVER
        headers = self._headers([*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self.finished = True
        await self._send({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem) -> None:
        extra = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        await self.whole(problem.status.value, problem.body(self.call.request_id), [PROBLEM, *extra])

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.call.deadline = NEVER
            message["headers"] = self._headers(message["headers"])
        elif not message.get("more_body"):
            self.finished = True
        await self._send(message)

    def _headers(self, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [*own, *SECURITY, (b"x-request-id", self.call.request_id.encode())]
        if self.engine.draining:
            headers.append(CLOSE)
        return headers


def _route(scope: Scope) -> str:
    """The route's template; anything else is one route, or a scanner would make thousands."""
    return getattr(scope.get("route"), "path", "other")
