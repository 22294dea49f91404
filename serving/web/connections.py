"""Limits of a connection, before a request reaches the gateway: size of the head, time for it,
bytes after the answer.

uvicorn has none of them with its fast parser: it buffers a head of any length, waits for ever for its end,
and reads on after a refusal. It also loses the body of a request that offers HTTP/2, as Java's clients do.
See docs/decisions/0312.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops_lib.settings import ServingSettings
from serving.web.failures import failures
from serving.web.problems import MEDIA_TYPE, Problem

#: Seconds that the rest of a body is read and dropped after its answer.
#: A connection that is closed with unread bytes may lose the answer.
LINGER_S = 5.0


class HeadTooLargeError(Exception):
    """Request line and headers are longer than they may be."""


class _WithoutTrailers(list[tuple[bytes, bytes]]):
    """The headers of a request that has begun. The parser's further ones are trailers, which are dropped."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Drop a trailer."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits. `limit` sets them, for all connections of the process."""

    # Python reads attributes fast of an object with at most 30 in its dict, and uvicorn has 28.
    __slots__ = ("_bytes", "_in_head", "_measure", "_timer")

    head_bytes, head_timeout_s, message_bytes, keep_alive_s = 2**16, 10.0, 2**25, 5.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request within `head_timeout_s`, and each further one within `keep_alive_s`."""
        #: Bytes of the message that is being read, or of the next one.
        self._bytes = 0
        #: Whether the headers of the next request are still to come, and whether they must be measured.
        self._in_head, self._measure = True, False
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self.timeout_keep_alive = self.keep_alive_s  # type: ignore[assignment] # seconds for `call_later`
        self._timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a piece, unless the message is too long already."""
        self._bytes += len(data)
        self._measure = self._bytes > self.head_bytes
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._bytes or self.transport.is_closing():  # none: the message was whole
            return
        if self._in_head:
            if self._bytes > self.head_bytes:
                self._refuse(_too_large(self.head_bytes))
            elif not self._timer:
                self._timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)
        elif self._bytes > self.message_bytes:
            # The gateway counts bytes of the body. Trailers and the framing of chunks are none.
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserError:
                message = "Invalid HTTP request received."
                self.logger.warning(message)
                self.send_400_response(message)
                return
            except httptools.HttpParserUpgrade as offer:
                if not self._offers_upgrade():
                    if self._should_upgrade():
                        self.handle_websocket_upgrade()
                    return
                data = self._head_without_offer() + data[offer.args[0] :]

    def _offers_upgrade(self) -> bool:
        """Whether the parser stops after the head, because the client could also speak another protocol than WebSocket."""
        is_tunnel = self.parser.get_method() == b"CONNECT"
        return self.parser.should_upgrade() and not is_tunnel and not self._should_upgrade()

    def _head_without_offer(self) -> bytes:
        """The head once more, for a new parser: the one that stopped cannot go on with the body."""
        line = b"%b %b HTTP/%b\r\n" % (
            self.parser.get_method(), self.url, self.parser.get_http_version().encode(),
        )  # fmt: skip
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        kept = (header for header in self.headers if header[0] != b"upgrade")
        return line + b"".join(b"%b: %b\r\n" % header for header in kept) + b"\r\n"

    def on_headers_complete(self) -> None:
        """Begin the request.

        Raises:
            HeadTooLargeError: The parser passes it on as an error of its own.
        """
        if self.parser.should_upgrade() and self._offers_upgrade():
            return
        if self._measure and len(self.url) + _size(self.headers) > self.head_bytes:
            raise HeadTooLargeError
        self._in_head = False
        if self._timer:
            self._stop_timer()
        if self.timeout_keep_alive_task:
            self._unset_keepalive_if_required()
        super().on_headers_complete()
        self.headers = _WithoutTrailers(self.headers)

    def on_message_complete(self) -> None:
        """The next message begins."""
        if self.parser.should_upgrade() and self._offers_upgrade():
            return
        self._bytes, self._in_head = 0, True
        if self._timer:
            self._stop_timer()
        super().on_message_complete()
        if (
            self.cycle and self.cycle.response_complete
        ):  # answered early: these bytes have stopped uvicorn's timer
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Read the rest of a message that was answered early, for a while."""
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read."""
        if self._measure and self._in_head:
            self._refuse(_too_large(self.head_bytes))
        else:
            super().send_400_response(msg)

    def _head_is_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if not self._bytes:  # nobody waits for an answer
            self.transport.close()
            return
        detail = f"No whole head of a request within {self.head_timeout_s:g} s (serving.head_timeout_s)."
        self._refuse(Problem(HTTPStatus.REQUEST_TIMEOUT, "head_timed_out", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the gateway, and close the connection."""
        body = problem.body("")
        head = (
            f"HTTP/1.1 {problem.status.value} {problem.status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        failures.log(logging.INFO, {"status": problem.status.value, "error": problem.code})
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def limit(settings: ServingSettings) -> None:
    """Make every uvicorn server of this process use `Connection`, with these limits.

    ``uvicorn main:app`` has chosen its protocol when it imports the application, so the choice is replaced.
    """
    Connection.head_bytes = settings.head_bytes
    Connection.head_timeout_s = settings.head_timeout_s
    Connection.keep_alive_s = settings.keep_alive_s
    Connection.message_bytes = settings.head_bytes + 2 * settings.body_bytes
    uvicorn.Config.http_protocol_class = property(lambda _: Connection, _ignored)  # type: ignore[assignment]


def _ignored(config: uvicorn.Config, chosen: Any) -> None:
    """uvicorn sets the protocol that it has chosen."""


def _too_large(limit: int) -> Problem:
    detail = f"Request line and headers are longer than {limit} bytes (serving.head_bytes)."
    return Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", detail)


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
