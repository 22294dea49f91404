"""The HTTP transport under every vendor client: limits, cassette, whole-call time-out, accounting.

It sits below the vendors' SDKs, which do the retrying (exponential backoff with jitter on connection errors,
time-outs, 408, 409, 429 and 5xx; ``Retry-After`` is honoured) and obey a header ``x-should-retry``, which is
how this transport says that asking again is no use. Request headers, and with them keys, are never kept.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from mlops_lib.llm.cassette import Entry, key_of
from mlops_lib.llm.keys import masked
from mlops_lib.llm.ledger import Ledger, count, current
from mlops_lib.llm.usage import Prices, of_answer

NO_RETRY = {"x-should-retry": "false", "content-type": "application/json"}
#: Codes of a 429 that stays one: the account has no money, however long we wait.
FINAL_CODES = ("insufficient_quota", "billing_hard_limit_reached")


@dataclass
class Provider:
    """Where calls of one provider go.

    Attributes:
        name: ``openai``, ``anthropic`` or ``fake``.
        key_variable: Environment variable of its key, named when a call is made without one.
        has_key: Whether there is a key, or none is needed.
        connect: Makes the transport that really sends, asynchronous or not.
    """

    name: str
    key_variable: str
    has_key: bool
    connect: Callable[[bool], Any]


@dataclass
class Metered(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Sends requests of one provider. Usable from any thread and any event loop."""

    provider: Provider
    timeout_s: float
    prices: Prices
    _async: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary)
    _sync: Any = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _Call(self, request, await request.aread())
        if (answer := call.before()) is not None:
            return answer
        await asyncio.sleep(call.wait_s)
        # A connection belongs to the event loop it was made in, so each loop has connections of its own.
        loop = asyncio.get_running_loop()
        inner = self._async.setdefault(loop, None) or self.provider.connect(True)
        self._async[loop] = inner
        if call.streams:
            response = await inner.handle_async_request(request)
            return _Stream.over(response, call)
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await inner.handle_async_request(request)
                body = await response.aread()
                await response.aclose()
        except TimeoutError:
            raise call.failed(
                httpx2.ReadTimeout(f"no answer within {self.timeout_s:g} s", request=request)
            ) from None
        except httpx2.TransportError as error:
            raise call.failed(error) from None
        return call.after(response, body)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _Call(self, request, request.read())
        if (answer := call.before()) is not None:
            return answer
        time.sleep(call.wait_s)
        self._sync = self._sync or self.provider.connect(False)
        try:
            response = self._sync.handle_request(request)
            if call.streams:
                return _Stream.over(response, call)
            body = response.read()
            response.close()
        except httpx2.TransportError as error:
            raise call.failed(error) from None
        return call.after(response, body)


class _Call:
    """One request on its way: what the record, the limits and the books have to say about it."""

    def __init__(self, transport: Metered, request: httpx2.Request, body: bytes) -> None:
        self.transport, self.request = transport, request
        self.ledger: Ledger | None = current()
        try:
            content = json.loads(body)
        except ValueError:
            content = {}
        self.model = f"{transport.provider.name}:{content.get('model', '')}"
        # An evaluation keeps answers whole, so it reads them whole; only serving passes them on in pieces.
        self.streams = bool(content.get("stream")) and self.ledger is None
        self.key = key_of(transport.provider.name, request.url.path, body)
        self.server = request.url.netloc.decode("ascii", "replace")
        self.wait_s = 0.0

    def before(self) -> httpx2.Response | None:
        """The answer, if the call need not or may not be made."""
        provider, ledger = self.transport.provider, self.ledger
        if ledger is not None:
            if entry := ledger.cassette.find(self.key, self.server):
                return self._replayed(entry)
            if ledger.cassette.strict:
                return self._refused("This call is not on the cassette.")
            if ledger.stopped:
                return self._refused(f"The budget stops here: {ledger.stopped}")
            if ledger.max_cost_usd and self.model not in self.transport.prices:
                return self._refused(
                    f"evaluation.max_cost_usd is set, but llm.prices has no {self.model!r}. Add its prices."
                )
        if not provider.has_key:
            return self._refused(f"No key for {self.model}. Set {provider.key_variable} in the environment.")
        if ledger is not None:
            self.wait_s = ledger.start_call()
        return None

    def after(self, response: httpx2.Response, body: bytes) -> httpx2.Response:
        """Book and record an answer that was read to its end."""
        if not response.is_success:
            body = masked(body.decode("utf-8", "replace")).encode()
        kind = response.headers.get("content-type", "application/json")
        headers = {"content-type": kind}
        for name in ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id"):
            if name in response.headers:
                headers[name] = response.headers[name]
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and any(
            code in body.decode("utf-8", "replace") for code in FINAL_CODES
        ):
            headers["x-should-retry"] = "false"
        if response.is_success and "json" in kind:
            try:
                self.book(json.loads(body), live=True)
            except ValueError:
                # As good as a dropped connection, and retried like one.
                raise self.failed(
                    httpx2.RemoteProtocolError("the answer is not whole JSON", request=self.request)
                ) from None
        self._keep(Entry(self.key, self.server, response.status_code, body.decode("utf-8", "replace"), kind))
        return httpx2.Response(response.status_code, headers=headers, content=body, request=self.request)

    def failed(self, error: httpx2.TransportError) -> httpx2.TransportError:
        """Record that no answer came."""
        self._keep(Entry(self.key, self.server, 0, f"{type(error).__name__}: {error}"))
        return error

    def book(self, answer: Any, live: bool) -> None:
        """Count tokens and money."""
        count(of_answer(answer, self.model, self.transport.prices), self.ledger, live)

    def _keep(self, entry: Entry) -> None:
        if self.ledger is not None:
            self.ledger.cassette.keep(entry)

    def _replayed(self, entry: Entry) -> httpx2.Response:
        if entry.status == 0:
            return self._refused(entry.body)
        if 200 <= entry.status < 300 and "json" in entry.content_type:
            self.book(json.loads(entry.body), live=False)
        headers = {**NO_RETRY, "content-type": entry.content_type}
        return httpx2.Response(
            entry.status, headers=headers, content=entry.body.encode(), request=self.request
        )

    def _refused(self, message: str) -> httpx2.Response:
        """An answer of our own for a call that is not made; kept, so that a replay meets it again."""
        if self.ledger is None or not self.ledger.cassette.strict:
            self._keep(Entry(self.key, self.server, 0, message))
        content = {"error": {"message": message, "type": "mlops", "code": "not_sent"}}
        return httpx2.Response(
            HTTPStatus.BAD_REQUEST, headers=NO_RETRY, content=json.dumps(content), request=self.request
        )


class _Stream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """Passes an event stream on as it comes; the usage in its last events is counted."""

    def __init__(self, response: httpx2.Response, call: _Call) -> None:
        self.inner: Any = response.stream
        self.call = call
        self.usage: dict[str, Any] = {}

    @classmethod
    def over(cls, response: httpx2.Response, call: _Call) -> httpx2.Response:
        """The response with its stream wrapped."""
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=cls(response, call),
            extensions=response.extensions,
            request=call.request,
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.inner:
            self._look(part)
            yield part

    def __iter__(self) -> Iterator[bytes]:
        for part in self.inner:
            self._look(part)
            yield part

    async def aclose(self) -> None:
        self.call.book({"usage": self.usage}, live=True)
        await self.inner.aclose()

    def close(self) -> None:
        self.call.book({"usage": self.usage}, live=True)
        self.inner.close()

    def _look(self, part: bytes) -> None:
        if b'"usage"' not in part:
            return
        for line in part.splitlines():
            if line.startswith(b"data: {"):
                try:
                    event = json.loads(line[6:])
                except ValueError:
                    continue
                found = event.get("usage") or (event.get("message") or {}).get("usage") or {}
                self.usage |= {name: value for name, value in found.items() if value}
