"""A streamed answer: passed on piece by piece, its tokens counted at the end."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from mlops_lib.llm.call import Call

#: An unfinished line that is longer is no event with usage.
MAX_LINE = 2**20
#: Bytes of a request for a token, roughly, where the vendor did not come to tell the tokens.
BYTES_PER_TOKEN = 4


class EventStream(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """The body of a streamed answer. Its last events hold the usage.

    A stream that ends before has cost money all the same. Then each event counts as a token, and so do each four bytes of
    the request: without that, a caller who always hangs up early would spend without a limit.
    """

    def __init__(self, response: httpx2.Response, call: Call) -> None:
        self.inner: Any = response.stream
        self.call = call
        self.usage: dict[str, Any] = {}
        self._events, self._rest = 0, b""
        #: Whether the last event has come; an error has no events.
        self._whole = not response.is_success

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
        self.call.book({"usage": self._counted()}, live=True)
        await self.inner.aclose()

    def close(self) -> None:
        self.call.book({"usage": self._counted()}, live=True)
        self.inner.close()

    def _read(self, part: bytes) -> None:
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest if len(rest) < MAX_LINE else b""
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            self._events += 1
            if line.startswith(b"data: [DONE]") or b'"message_stop"' in line:
                self._whole = True
            elif b'"usage"' in line:
                self._read_usage(line)

    def _read_usage(self, line: bytes) -> None:
        try:
            event = json.loads(line[5:])
        except ValueError:
            return
        found = event.get("usage") or (event.get("message") or {}).get("usage") or {}
        self.usage |= {name: value for name, value in found.items() if value}

    def _counted(self) -> dict[str, Any]:
        if self._whole:
            return self.usage
        told = self.usage
        prompt = (
            told.get("prompt_tokens") or told.get("input_tokens") or self.call.body_bytes // BYTES_PER_TOKEN
        )
        completion = told.get("completion_tokens") or told.get("output_tokens") or 0
        return {"prompt_tokens": prompt, "completion_tokens": max(completion, self._events)}
