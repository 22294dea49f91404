"""The HTTP transport under every vendor client: limits, cassette, a time-out for the whole call, accounting.

The vendors' SDKs are above it and do the retries: exponential backoff with jitter on connection errors,
time-outs, 408, 409, 429 and 5xx; they honour ``Retry-After``. They also obey the header ``x-should-retry``,
with which this transport stops a retry that cannot help. Request headers, which hold the keys, are never
recorded.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from mlops_lib.llm.accounting.usage import Prices
from mlops_lib.llm.transport.call import Call, Provider
from mlops_lib.llm.vendors.stream import EventStream

#: Among the extensions of a request: it comes from a transport of this module.
METERED = "mlops.metered"


@dataclass
class Metered(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Sends the requests of one provider. Any thread and any event loop may use it;
    a call has no time-out if it is None."""

    provider: Provider
    timeout_s: float | None
    prices: Prices
    _async: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary)
    _sync: Any = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions[METERED] = True
        call = Call(self.provider, self.prices, request, await request.aread())
        if (answer := call.before()) is not None:
            return answer
        await asyncio.sleep(call.wait_s)
        inner = self._of_loop(asyncio.get_running_loop())
        if call.streams:
            request.headers["accept-encoding"] = "identity"  # the events are read as they pass
        try:
            if call.streams:
                return EventStream.over(await inner.handle_async_request(request), call)
            async with asyncio.timeout(self.timeout_s):
                response = await inner.handle_async_request(request)
                body = await response.aread()
                await response.aclose()
        except httpx2.UnsupportedProtocol as error:  # of the address or its proxy: no retry helps
            return call.refused(str(error))
        except TimeoutError:
            raise call.failed(
                httpx2.ReadTimeout(f"no answer within {self.timeout_s:g} s", request=request)
            ) from None
        except httpx2.TransportError as error:
            raise call.failed(error) from None
        return call.after(response, body)

    def _of_loop(self, loop: asyncio.AbstractEventLoop) -> Any:
        """The transport of an event loop: a connection belongs to the loop it was made in."""
        if loop not in self._async:
            # A transport may hold its loop, so that both stay until they are removed here.
            for reference in self._async.keyrefs():
                if (other := reference()) is not None and other.is_closed():
                    self._async.pop(other, None)
            self._async[loop] = self.provider.connect(True)
        return self._async[loop]

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions[METERED] = True
        call = Call(self.provider, self.prices, request, request.read())
        if (answer := call.before()) is not None:
            return answer
        time.sleep(call.wait_s)
        self._sync = self._sync or self.provider.connect(False)
        if call.streams:
            request.headers["accept-encoding"] = "identity"
        try:
            response = self._sync.handle_request(request)
            if call.streams:
                return EventStream.over(response, call)
            body = response.read()
            response.close()
        except httpx2.UnsupportedProtocol as error:
            return call.refused(str(error))
        except httpx2.TransportError as error:
            raise call.failed(error) from None
        return call.after(response, body)
