"""A client of OpenAI's chat completions with nothing between JSON and HTTP; see docs/decisions/0208.

The transport below counts, limits and records its calls as those of the vendors' SDKs.
"""

import asyncio
import base64
import itertools
import json
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import httpx2

from mlops_lib.llm.messages import check_messages
from mlops_lib.llm.options import OPTIONS
from mlops_lib.llm.transport.call import RETRIES_HEADER
from mlops_lib.llm.transport.metered import Metered
from mlops_lib.llm.vendors.completion_parts import Parts, answer_in
from mlops_lib.llm.vendors.events import EventReader
from mlops_lib.llm.vendors.retries import may_retry, wait_s
from mlops_lib.llm.vendors.vendor import Answer, Messages, Part, VendorError, VendorRefusedError

#: Parameters of a model that are fields of the request, by their own names or inside one of EXTRA.
FIELDS = OPTIONS["openai"] | {"logprobs", "store", "top_logprobs", "metadata"}
EXTRA = ("extra_body", "model_kwargs")
#: Parameters that are sent as numbers with a point, so that a call has the key on a
#: cassette that it always had.
FLOATS = ("frequency_penalty", "presence_penalty", "temperature", "top_p")
#: Models for which LangChain's client changes the request, or sends it to OpenAI's other protocol.
OTHERS = re.compile(r"o\d|gpt-5(?!.*chat)|gpt-6|.*(?:codex|-pro|deep-research)")
#: Environment variable -> header of OpenAI's accounts.
ACCOUNT_HEADERS = {
    "OPENAI_ORG_ID": "openai-organization",
    "OPENAI_ORGANIZATION": "openai-organization",
    "OPENAI_PROJECT_ID": "openai-project",
}
#: Seconds to wait for the end of a stream after its last event, so that the connection can be used again.
REST_S = 1.0


def suits(provider: str, model: str, params: Mapping[str, Any]) -> bool:
    """Whether this client sends what LangChain's would."""
    return (
        provider in ("openai", "fake") and not OTHERS.match(model) and FIELDS.union(EXTRA).issuperset(params)
    )


class ChatClient:
    """See `VendorModel`.

    Args:
        params: Fields of every request; the options of a chat replace them.
    """

    def __init__(
        self,
        metered: Metered,
        base_url: str,
        key: str,
        model: str,
        params: Mapping[str, Any],
        max_retries: int,
    ) -> None:
        own = {
            name: float(value) if name in FLOATS else value
            for name, value in params.items()
            if name not in EXTRA and value is not None
        }
        for name in EXTRA:
            own |= params.get(name) or {}
        self._fields = {"model": model, **_renamed(own)}
        self._metered, self._max_retries = metered, max_retries
        self._url = httpx2.URL(f"{base_url.rstrip('/')}/chat/completions")
        self._headers = {
            "content-type": "application/json", "accept": "application/json", "authorization": _authorization(self._url, key),
            "user-agent": "mlops-lib", "host": self._url.netloc.decode("ascii"),
            **{header: os.environ[name] for name, header in ACCOUNT_HEADERS.items() if os.environ.get(name)},
        }  # fmt: skip
        limit_s = metered.timeout_s
        self._extensions = {
            "timeout": {"connect": limit_s, "read": limit_s, "write": limit_s, "pool": limit_s}
        }

    def check(self, messages: Messages) -> None:
        """See `VendorModel`."""
        check_messages(messages)

    async def answer(self, messages: Messages, options: Mapping[str, Any]) -> Answer:
        """See `VendorModel`."""
        response = await self._send({**self._body(messages, options), "stream": False})
        try:
            content = json.loads(response.content)
        except ValueError as error:
            raise VendorError(
                f"The vendor's answer is no JSON: {error}: {response.content[:200]!r}"
            ) from None
        return answer_in(content)

    async def stream(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[Part | Answer]:
        """See `VendorModel`."""
        body = {**self._body(messages, options), "stream": True, "stream_options": {"include_usage": True}}
        response = await self._send(body)
        parts, events = Parts(), EventReader()
        pieces: Any = (
            response.stream if "content-encoding" not in response.headers else response.aiter_bytes()
        )
        pieces = aiter(pieces)
        try:
            async for piece in pieces:
                for data in events.feed(piece):
                    if (part := parts.read(data)) is not None:
                        yield part
                if parts.ended:
                    break
            for data in events.end():
                if (part := parts.read(data)) is not None:
                    yield part
            yield parts.whole()
            with suppress(TimeoutError, httpx2.TransportError):
                async with asyncio.timeout(REST_S):
                    async for _ in pieces:
                        pass
        except (httpx2.TransportError, ValueError) as error:  # it ends, or has an event without an end
            raise VendorError(f"The vendor's stream broke off: {type(error).__name__}: {error}") from error
        finally:
            await response.aclose()

    def _body(self, messages: Messages, options: Mapping[str, Any]) -> dict[str, Any]:
        # A field that is null counts as absent; clients send back whole answers, with all their nulls.
        sent = [
            {name: value for name, value in message.items() if value is not None or name == "content"}
            for message in messages
        ]
        return {**self._fields, "messages": sent, **_renamed(options)}

    async def _send(self, body: Mapping[str, Any]) -> httpx2.Response:
        """The vendor's answer, after as many tries as it takes."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        for attempt in itertools.count():
            headers = {**self._headers, RETRIES_HEADER: str(attempt)}
            request = httpx2.Request(
                "POST", self._url, headers=headers, content=content, extensions=self._extensions
            )
            try:
                response = await self._metered.handle_async_request(request)
            except httpx2.TransportError as error:
                if attempt >= self._max_retries:
                    raise VendorError(_text(error)) from error
                after = wait_s(attempt, {})
            else:
                if response.is_success:
                    return response
                await response.aread()
                if attempt >= self._max_retries or not may_retry(response.status_code, response.headers):
                    raise _refused(response)
                after = wait_s(attempt, response.headers)
            await asyncio.sleep(after)
        raise AssertionError


def _authorization(url: httpx2.URL, key: str) -> str:
    """User and password of the address, if it has them, as httpx2 does; else the key."""
    if not url.userinfo:
        return f"Bearer {key}"
    return f"Basic {base64.b64encode(f'{url.username}:{url.password}'.encode()).decode()}"


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With the limit of tokens under OpenAI's present name."""
    found = dict(fields)
    if "max_tokens" in found:
        found["max_completion_tokens"] = found.pop("max_tokens")
    return found


def _text(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"Request timed out: {error}"
    return f"Connection error: {type(error).__name__}: {error}"


def _refused(response: httpx2.Response) -> VendorRefusedError:
    """The error for an answer that is none, in the words of OpenAI's SDK."""
    status, text = response.status_code, response.text.strip()
    body: Any = text
    message = text or f"Error code: {status}"
    with suppress(ValueError):
        body = json.loads(text)
        message = f"Error code: {status} - {body}"
    if response.has_redirect_location:
        message = f"Error code: {status}. The server redirects to {response.headers['location']}: set OPENAI_BASE_URL."
    if isinstance(body, Mapping):
        body = body.get("error", body)
    return VendorRefusedError(message, status, response, body)
