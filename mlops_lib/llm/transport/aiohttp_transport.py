"""Sends HTTP requests with aiohttp, whose parser is native:
httpx2's own costs several times the processor time.

It is a transport of httpx2, so that the vendors' SDKs can use it too.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import aiohttp
import httpx2
import yarl

from mlops_lib.llm.transport.proxies import proxy_of

#: Idle connections of one event loop that are kept open for the next request.
KEEPALIVE_S = 30.0
#: Headers that aiohttp adds by itself. Requests of httpx2 are sent as they are.
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Connector(aiohttp.TCPConnector):
    """Connections of one event loop, which need no closing before its end."""

    def __del__(self, _warnings: Any = None) -> None:
        """Replace aiohttp's warning about open connections."""


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one event loop, in which it must be made.
    The end of the loop closes its connections."""

    def __init__(self) -> None:
        self._end: AsyncIterator[None] | None = None
        self._proxies: dict[tuple[str, str, int | None], str | None] = {}
        connector = Connector(limit=0, keepalive_timeout=KEEPALIVE_S, ssl=_trusted())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC,
        )

    def __del__(self) -> None:
        self._session.detach()  # without a warning: see Connector

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response, whose body is read from the connection as it comes.

        Raises:
            httpx2.TransportError: There was no answer, or not in time.
        """
        if self._end is None:
            self._end = self._until_the_end()
            await anext(self._end)
        limits = request.extensions.get("timeout") or {}
        with as_httpx2(request):
            response = await self._session.request(
                request.method,
                _url(str(request.url)),
                data=await request.aread(),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                allow_redirects=False,
                proxy=self._proxy_of(request.url),
                timeout=aiohttp.ClientTimeout(
                    sock_connect=limits.get("connect"), sock_read=limits.get("read")
                ),
            )
        return httpx2.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=Body(response, request),
            request=request,
        )

    def _proxy_of(self, url: httpx2.URL) -> str | None:
        """`proxy_of`, read once for each server."""
        server = url.scheme, url.host, url.port
        if server not in self._proxies:
            self._proxies[server] = proxy_of(url)
        return self._proxies[server]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _until_the_end(self) -> AsyncIterator[None]:
        """Close all connections when the event loop ends, which closes the
        generators that have begun in it."""
        try:
            yield
        finally:
            await self.aclose()


class Body(httpx2.AsyncByteStream):
    """The body of a response: each piece as it came from the network."""

    def __init__(self, response: aiohttp.ClientResponse, request: httpx2.Request) -> None:
        self._response, self._request = response, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with as_httpx2(self._request):
            async for piece in self._response.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body has not ended."""
        self._response.close() if not self._response.content.at_eof() else self._response.release()


@contextmanager
def as_httpx2(request: httpx2.Request) -> Iterator[None]:
    """Raise aiohttp's errors as those of httpx2, with their texts."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx2.ConnectTimeout(str(error), request=request) from error
    except TimeoutError as error:
        raise httpx2.ReadTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx2.ConnectError(str(error), request=request) from error
    except (
        aiohttp.ClientPayloadError,
        aiohttp.ServerDisconnectedError,
        aiohttp.ClientResponseError,
    ) as error:
        raise httpx2.RemoteProtocolError(str(error), request=request) from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise httpx2.UnsupportedProtocol(str(error), request=request) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx2.ReadError(str(error), request=request) from error


@lru_cache(maxsize=1)
def _trusted() -> Any:
    """The certificates that httpx2 trusts; reading them takes 20 ms."""
    return httpx2.create_ssl_context()


@lru_cache(maxsize=256)
def _url(text: str) -> yarl.URL:
    """The address without user and password, which are in the headers."""
    return yarl.URL(text, encoded=True).with_user(None)
