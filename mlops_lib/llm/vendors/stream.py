"""A streamed answer: passed on piece by piece, its tokens counted at the end."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from mlops_lib.llm.accounting.event_usage import EventUsage
from mlops_lib.llm.transport.call import Call


class EventStream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """The body of a streamed answer, whose tokens are counted when it is closed, also early."""

    def __init__(self, response: httpx2.Response, call: Call) -> None:
        self.inner: Any = response.stream
        self.call = call
        #: An error has no events.
        self._usage = EventUsage(call.body_bytes) if response.is_success else None

    @classmethod
    def over(cls, response: httpx2.Response, call: Call) -> httpx2.Response:
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
            self._read(part)
            yield part

    def __iter__(self) -> Iterator[bytes]:
        for part in self.inner:
            self._read(part)
            yield part

    async def aclose(self) -> None:
        self._book()
        await self.inner.aclose()

    def close(self) -> None:
        self._book()
        self.inner.close()

    def _read(self, part: bytes) -> None:
        if self._usage:
            self._usage.read(part)

    def _book(self) -> None:
        self.call.book({"usage": self._usage.counted() if self._usage else {}}, live=True)
