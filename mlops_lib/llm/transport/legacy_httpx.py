"""Transports of httpx, which some clients use in place of httpx2:
requests and answers are passed on between the two."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from typing import Any

import httpx2

#: Gives the platform's transport for a request and the transport that sends it; None:
#: the request passes as it is.
Meter = Callable[[Any, Any], Any]


def change(meter: Meter) -> None:
    """Let httpx's transports send what `meter` takes through the platform's; nothing without httpx. Call it once."""
    try:
        import httpx
    except ImportError:
        return
    send, send_async = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    class Stream(_Passed, httpx.SyncByteStream, httpx.AsyncByteStream):
        """The body of an answer, for httpx."""

    def answer(found: httpx2.Response, request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            found.status_code,
            headers=found.headers.multi_items(),
            stream=Stream(found.stream, partial(_errors, httpx2, httpx, request)),
            extensions={name: value for name, value in found.extensions.items() if name != "network_stream"},
            request=request,
        )

    @wraps(send)
    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        if (metered := meter(request, _Sender(self, request, send))) is None:
            return send(self, request)
        with _errors(httpx2, httpx, request):
            return answer(metered.handle_request(_asked(request, request.read())), request)

    @wraps(send_async)
    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        if (metered := meter(request, _Sender(self, request, send_async))) is None:
            return await send_async(self, request)
        with _errors(httpx2, httpx, request):
            found = await metered.handle_async_request(_asked(request, await request.aread()))
        return answer(found, request)

    httpx.HTTPTransport.handle_request = handle_request  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = handle_async_request  # type: ignore[method-assign]


class _Passed:
    """A stream that passes on another one, with its errors as those of the other library."""

    def __init__(self, inner: Any, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._inner, self._errors = inner, errors

    def __iter__(self) -> Iterator[bytes]:
        with self._errors():
            yield from self._inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._errors():
            async for part in self._inner:
                yield part

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Stream(_Passed, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of an answer of httpx, for httpx2."""


class _Sender:
    """Sends a request of httpx2 as the request of httpx that it was made from."""

    def __init__(self, transport: Any, request: Any, send: Any) -> None:
        self._transport, self._request, self._send = transport, request, send

    def handle_request(self, asked: httpx2.Request) -> httpx2.Response:
        with self._errors(asked):
            return self._answer(self._send(self._transport, self._changed(asked)), asked)

    async def handle_async_request(self, asked: httpx2.Request) -> httpx2.Response:
        with self._errors(asked):
            return self._answer(await self._send(self._transport, self._changed(asked)), asked)

    def _changed(self, asked: httpx2.Request) -> Any:
        self._request.headers["accept-encoding"] = asked.headers.get("accept-encoding", "identity")
        return self._request

    def _answer(self, found: Any, asked: httpx2.Request) -> httpx2.Response:
        stream = _Stream(found.stream, partial(self._errors, asked))
        return httpx2.Response(found.status_code, headers=found.headers.multi_items(), stream=stream)

    def _errors(self, asked: httpx2.Request) -> AbstractContextManager[None]:
        import httpx

        return _errors(httpx, httpx2, asked)


@contextmanager
def _errors(source: Any, target: Any, request: Any) -> Iterator[None]:
    """Raise the transport errors of one library as those of the other."""
    try:
        yield
    except source.TransportError as error:
        kind = getattr(target, type(error).__name__, target.TransportError)
        raise kind(str(error), request=request) from error


def _asked(request: Any, body: bytes) -> httpx2.Request:
    headers = request.headers.multi_items()
    return httpx2.Request(request.method, str(request.url), headers=headers, content=body)
