"""One request and its answer, on plain ASGI."""

import asyncio
import itertools
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Message, Receive, Scope, Send

from mlops_lib.llm.accounting.usage import Usage
from serving.service import Service
from serving.web.compression import inflated
from serving.web.problems import MEDIA_TYPE, Problem, bodies_too_large, disconnected, too_large

#: A caller's request id is repeated if it looks like this: safe in a log line and in a header.
SAFE_ID = re.compile(rb"[\w.:/+=-]{1,128}", re.ASCII)
JSON = (b"content-type", b"application/json")
BINARY = (b"content-type", b"application/octet-stream")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
CLOSE = (b"connection", b"close")
NEVER = float("inf")
#: Most bytes of the bodies of all requests in flight, as a multiple of `serving.body_bytes`.
MAX_BODIES = 32
NO_VALUES: Mapping[str, str] = MappingProxyType({})
Headers = list[tuple[bytes, bytes]]
#: Headers of every answer that does not set them itself.
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def _ids() -> Callable[[], str]:
    """A source of request ids: 32 hex digits, of which 16 are random and this process's own."""
    prefix, numbers = os.urandom(8).hex(), itertools.count(int.from_bytes(os.urandom(4)))
    return lambda: f"{prefix}{next(numbers):016x}"


_new_id = _ids()


class Reply(msgspec.Struct, frozen=True):
    """An answer in one piece."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)
    status: int = 200


class Call:
    """One request on its way.

    Attributes:
        params: Values of the path's placeholders.
        began: Time of `time.monotonic()` at which it came in.
        deadline: Time of `time.monotonic()` at which the request ends; `NEVER` once its answer has begun.
        caller: Name of the caller's API key; "" where the service has no keys.
        usage: Tokens of an answer in events; None for any other answer.
        body_bytes: Bytes of the body that have been read; then of the body without its compression.
        read: Whether the whole body has been read. The server's next message is then
            that the caller has left.
        status: Of the answer; 0 before it has begun.
        finished: Whether the last byte of the answer is out.
        code: Of the problem that is the answer, or the end of a stream; "" for another answer.
        version: Of the model that was asked; 0 for a request that asks no model.
        ended: Why the work was cancelled, as the answer to give.
    """

    __slots__ = (
        "_limit", "_query", "_receive", "_send", "_service", "began", "body_bytes", "caller", "code", "deadline", "ended", "finished", "headers", "length",
        "params", "read", "request_id", "status", "task", "usage", "version", "watch",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service) -> None:
        self._receive, self._send, self._service = receive, send, service
        limits = service.settings.serving
        self._limit = limits.body_bytes
        self.began = time.monotonic()
        self.deadline = self.began + limits.request_timeout_s
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: bytes = scope["query_string"]
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if given and SAFE_ID.fullmatch(given) else _new_id()
        length = self.headers.get(b"content-length", b"0")
        self.length = int(length) if length.isdigit() else 0
        self.params, self.caller = NO_VALUES, ""
        self.code, self.version = "", 0
        self.usage: Usage | None = None
        self.body_bytes = self.status = 0
        self.read = self.finished = False
        self.ended: Problem | None = None
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.watch: asyncio.Task[None] | None = None

    def query(self, name: str) -> str:
        """A parameter of the query string; "" when it is not there."""
        return dict(parse_qsl(self._query.decode("latin-1"))).get(name, "") if self._query else ""

    @property
    def has_body(self) -> bool:
        """Whether the caller has declared a body."""
        return self.length > 0 or b"transfer-encoding" in self.headers

    def require_fit(self) -> None:
        """Raise a Problem for a body that is declared longer than it may be."""
        if self.length > self._limit:
            raise too_large(self._limit)

    async def receive(self) -> Message:
        """The next message of the server; for a body that came compressed, one message with all of it.

        Raises:
            Problem: As `body`.
        """
        if b"content-encoding" in self.headers and not self.read:
            return {"type": "http.request", "body": await self.body(), "more_body": False}
        return self._counted(await self._receive())

    async def body(self) -> bytes:
        """The whole body, inflated if it came compressed.

        Raises:
            Problem: 413 once it is longer than it may be; 503 while the bodies of all requests are; 499
                when the caller hangs up midway; 400 for a body that is not of its Content-Encoding,
                415 for a coding that is not known.
        """
        chunks = []
        while not self.read:
            message = self._counted(await self._receive())
            if message["type"] == "http.disconnect":
                raise disconnected("the body's end")
            chunks.append(message.get("body", b""))
        body = b"".join(chunks)
        if coding := self.headers.get(b"content-encoding"):
            sent, body = len(body), await inflated(body, coding, self._limit)
            self._hold(len(body) - sent)
        return body

    async def left(self) -> None:
        """Return once the caller has left. Call it after the body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def end(self, reason: Problem) -> None:
        """Cancel the work, unless the answer is out."""
        if self.task and not self.finished and not self.ended:
            self.ended = reason
            self.task.cancel()

    async def reply(self, reply: Reply) -> None:
        """Send an answer in one piece."""
        self.status, self.deadline = reply.status, NEVER
        # The lengths of the parts of a binary answer are in its head, so they must not change.
        body = self._service.masker.known(reply.body, keep_length=BINARY in reply.headers)
        headers = self._headers([*reply.headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        self.finished = True
        await self._send({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem) -> None:
        """Send a problem object."""
        self.code = problem.code
        body = problem.body(self.request_id)
        await self.reply(Reply(body, [PROBLEM, *problem.raw_headers], problem.status.value))

    async def stream(self, pieces: AsyncGenerator[str], headers: Headers) -> None:
        """Send an answer in pieces. `pieces` is closed however it ends, in this task,
        whose context it may have set."""
        async with aclosing(pieces):
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
            async for piece in pieces:
                body = self._service.masker.known(piece.encode())
                await self.send({"type": "http.response.body", "body": body, "more_body": True})
        await self.send({"type": "http.response.body", "body": b""})

    async def send(self, message: Message) -> None:
        """Send a message of an application behind the gateway, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status, self.deadline = message["status"], NEVER
            own = {name for name, _ in message["headers"]}  # a page's file may be kept, for example
            security = [header for header in SECURITY if header[0] not in own]
            message["headers"] = self._headers(message["headers"], security)
        elif not message.get("more_body"):
            self.finished = True
        await self._send(message)

    def _counted(self, message: Message) -> Message:
        if body := message.get("body"):
            self._hold(len(body))
        if self.body_bytes > self._limit:
            raise too_large(self._limit)
        self.read = not message.get("more_body")
        return message

    def _hold(self, count: int) -> None:
        """Count bytes of the body, which the gateway takes back when the request ends."""
        self.body_bytes += count
        self._service.body_bytes += count
        if self._service.body_bytes > MAX_BODIES * self._limit:
            raise bodies_too_large(MAX_BODIES * self._limit)

    def _headers(self, own: Iterable[tuple[bytes, bytes]], security: Headers = SECURITY) -> Headers:
        headers = [*own, *security, (b"x-request-id", self.request_id.encode())]
        if self._service.draining:
            headers.append(CLOSE)
        return headers
