"""A streamed answer: passed on piece by piece, its tokens counted at the end."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from mlops_lib.llm.call import Call


class EventStream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """The body of a streamed answer. Its last events hold the usage."""

    def __init__(self, response: httpx2.Response, call: Call) -> None:
        self.inner: Any = response.stream
        self.call = call
        self.usage: dict[str, Any] = {}

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
            self._read_usage(part)
            yield part

    def __iter__(self) -> Iterator[bytes]:
        for part in self.inner:
            self._read_usage(part)
            yield part

    async def aclose(self) -> None:
        self.call.book({"usage": self.usage}, live=True)
        await self.inner.aclose()

    def close(self) -> None:
        self.call.book({"usage": self.usage}, live=True)
        self.inner.close()

    def _read_usage(self, part: bytes) -> None:
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
