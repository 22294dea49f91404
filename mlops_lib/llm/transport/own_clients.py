"""Clients of LLM vendors that a model's own code makes: their calls go through the platform's transport too.

The vendors' SDKs send with httpx2, and some clients with httpx, so their transports are changed, once a
process. A client that was made before is changed as well. Requests of other kinds, and those that the
platform has metered already, pass as they are.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import httpx2

from mlops_lib.llm.accounting.ledger import in_force
from mlops_lib.llm.accounting.usage import Prices
from mlops_lib.llm.chat import KEY_VARIABLES, NO_KEY
from mlops_lib.llm.transport import legacy_httpx, uncounted
from mlops_lib.llm.transport.call import Provider
from mlops_lib.llm.transport.metered import METERED, Metered

#: Ends of the paths of calls that cost money.
OPENAI_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses")
ANTHROPIC_PATH = "/v1/messages"
#: Anthropic's clients use the token in this variable where they find no key.
ANTHROPIC_TOKEN = "ANTHROPIC_AUTH_TOKEN"
#: Servers that answer no request without a key.
VENDORS = ("api.openai.com", "api.anthropic.com")
T = TypeVar("T")
_prices: Prices = {}
_is_metering = False


def meter(prices: Prices) -> None:
    """From now on, count, limit and record the LLM calls of every client in this process.

    Args:
        prices: For calls from now on: ``provider:model`` -> US dollars for a million tokens in and out.
    """
    global _prices, _is_metering
    _prices = prices
    if not _is_metering:
        _is_metering = True
        httpx2.HTTPTransport.handle_request = _sync(httpx2.HTTPTransport.handle_request)  # type: ignore[method-assign]
        httpx2.AsyncHTTPTransport.handle_async_request = _async(  # type: ignore[method-assign]
            httpx2.AsyncHTTPTransport.handle_async_request
        )
        legacy_httpx.change(_meter_for)
        uncounted.watch()


def with_stand_ins(build: Callable[[], T]) -> T:
    """The result of `build`, whose clients can be made without a key;
    a call without a key is refused before it is sent.

    The code that `build` runs may set a missing key itself, from a .env file for example, and must find
    none there. So the stand-in for Anthropic is in the variable that its clients read last. OpenAI's
    clients have no such variable: only after an error about a missing key does `build` run again, with
    stand-ins for all missing keys.
    """
    with _stand_ins([] if os.environ.get(KEY_VARIABLES["anthropic"]) else [ANTHROPIC_TOKEN]):
        try:
            return build()
        except Exception as error:
            if not any(name in str(error) and not os.environ.get(name) for name in KEY_VARIABLES.values()):
                raise
    with _stand_ins(KEY_VARIABLES.values()):
        return build()


@contextmanager
def _stand_ins(names: Iterable[str]) -> Iterator[None]:
    missing = [name for name in names if not os.environ.get(name)]
    os.environ.update(dict.fromkeys(missing, NO_KEY))
    try:
        yield
    finally:
        for name in missing:
            if os.environ.get(name) == NO_KEY:  # the block may have set a key of its own
                del os.environ[name]


def _sync(send: Any) -> Any:
    @wraps(send)
    def handle_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        metered = _meter_for(request, _Sender(self, send))
        return metered.handle_request(request) if metered else send(self, request)

    return handle_request


def _async(send: Any) -> Any:
    @wraps(send)
    async def handle_async_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        metered = _meter_for(request, _Sender(self, send))
        return await (metered.handle_async_request(request) if metered else send(self, request))

    return handle_async_request


class _Sender:
    """The transport of a client, as it was before."""

    def __init__(self, transport: Any, send: Any) -> None:
        self._transport, self._send = transport, send

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._send(self._transport, request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._send(self._transport, request)


def _meter_for(request: Any, sender: Any) -> "_InForce | None":
    if request.extensions.get(METERED):
        return None
    if name := _provider_of(request):
        return _InForce(_metered(name, request, sender))
    uncounted.note(request.method, request.url.host, request.url.path)
    return None


class _InForce:
    """A transport that finds the ledger in force."""

    def __init__(self, inner: Metered) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        with in_force(), _redirectable(request):
            return self._inner.handle_request(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with in_force(), _redirectable(request):
            return await self._inner.handle_async_request(request)


@contextmanager
def _redirectable(request: Any) -> Iterator[None]:
    """A client that follows a redirect copies the request's extensions:
    the copy must count as a call of its own."""
    try:
        yield
    finally:
        request.extensions.pop(METERED, None)


def _provider_of(request: Any) -> str:
    """The provider whose protocol a request has; "" for another protocol."""
    if request.method != "POST":
        return ""
    path = request.url.path
    if path.endswith(ANTHROPIC_PATH):
        return "anthropic"
    return "openai" if path.endswith(OPENAI_PATHS) else ""


def _metered(name: str, request: Any, sender: Any) -> Metered:
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    has_key = key not in ("", NO_KEY) or request.url.host not in VENDORS
    provider = Provider(name, KEY_VARIABLES[name], has_key, lambda _: sender)
    return Metered(provider, None, _prices)  # the client has a time-out of its own
