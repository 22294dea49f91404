"""One LLM call on its way: answered from the cassette, refused by a limit, or sent, counted and recorded."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2

from mlops_lib.llm.accounting.cassette import Entry, key_of
from mlops_lib.llm.accounting.event_usage import EventUsage
from mlops_lib.llm.accounting.ledger import Ledger, count, current
from mlops_lib.llm.accounting.turns import current as turns_of_row
from mlops_lib.llm.accounting.usage import Prices, of_answer, price_of

NO_RETRY = {"x-should-retry": "false", "content-type": "application/json"}
#: Codes of a 429 that no retry can help: the account has no money.
FINAL_CODES = ("insufficient_quota", "billing_hard_limit_reached")
#: Header of the vendors' SDKs: how often the call failed before.
RETRIES_HEADER = "x-stainless-retry-count"
#: Headers of an answer that the vendors' SDKs read.
PASSED_HEADERS = ("location", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id")


@dataclass
class Provider:
    """Where the calls of one provider go.

    Attributes:
        name: ``openai``, ``anthropic`` or ``fake``.
        key_variable: Environment variable of the key, for the error of a call without one.
        has_key: There is a key, or none is needed.
        connect: Makes the transport that sends, asynchronous or not.
    """

    name: str
    key_variable: str
    has_key: bool
    connect: Callable[[bool], Any]


class Call:
    """One request, under the ledger that is in force."""

    def __init__(self, provider: Provider, prices: Prices, request: httpx2.Request, body: bytes) -> None:
        self.provider, self.prices, self.request = provider, prices, request
        self.body_bytes = len(body)
        self.ledger: Ledger | None = current()
        try:
            content = json.loads(body)
        except ValueError:
            content = {}
        if not isinstance(content, dict):  # another service's, at a path with the same end
            content = {}
        self.model = f"{provider.name}:{content.get('model', '')}"
        # An evaluation records whole answers. Only a server passes them on in pieces.
        self.streams = bool(content.get("stream")) and self.ledger is None
        self.key = key_of(provider.name, request.url.path, body)
        self.server = request.url.netloc.decode("ascii", "replace")
        self._turns = turns_of_row() if self.ledger is not None else None
        is_retry = request.headers.get(RETRIES_HEADER, "0") != "0"
        self.turn = self._turns.take(self.key, is_retry) if self._turns else 0
        #: Seconds to wait before sending.
        self.wait_s = 0.0

    def before(self) -> httpx2.Response | None:
        """The answer, if the call need not or must not be sent."""
        ledger = self.ledger
        if ledger is not None:
            if entry := ledger.cassette.find(self.key, self.server, self.turn):
                return self._replayed(entry)
            if ledger.cassette.strict:
                return self.refused("This call is not on the cassette.")
            if ledger.stopped:
                return self.refused(f"The budget stops here: {ledger.stopped}")
            if ledger.max_cost_usd and price_of(self.model, self.prices) is None:
                return self.refused(
                    f"evaluation.max_cost_usd is set, but llm.prices has no {self.model!r}. Add its prices."
                )
        if not self.provider.has_key:
            variable = self.provider.key_variable
            return self.refused(f"No key for {self.model}. Set {variable} in the environment.")
        if ledger is not None:
            self.wait_s = ledger.start_call()
        return None

    def after(self, response: httpx2.Response, body: bytes) -> httpx2.Response:
        """Count and record a whole answer, and give the response for the SDK."""
        text = body.decode("utf-8", "replace")
        kind = response.headers.get("content-type", "application/json")
        passed = {name: response.headers[name] for name in PASSED_HEADERS if name in response.headers}
        headers = {"content-type": kind, **passed}
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and any(code in text for code in FINAL_CODES):
            headers["x-should-retry"] = "false"
        if response.is_success and "json" in kind:
            try:
                self.book(json.loads(body), live=True)
            except ValueError:
                # The SDK retries this error like a dropped connection.
                raise self.failed(
                    httpx2.RemoteProtocolError("the answer is not whole JSON", request=self.request)
                ) from None
        elif response.is_success and "html" in kind:
            raise self.failed(
                httpx2.RemoteProtocolError(
                    f"{self.server} sent a page, no answer of an LLM: check the address.",
                    request=self.request,
                )
            )
        elif response.is_success:
            self._book_events(body, kind, live=True)
        kept = self._keep(response.status_code, text, kind)
        if kept and kept.succeeded and kept.body != text:
            return self._replayed(kept, book=False)
        return httpx2.Response(response.status_code, headers=headers, content=body, request=self.request)

    def failed(self, error: httpx2.TransportError) -> httpx2.TransportError:
        """Record that no answer came, and return the error."""
        self._keep(0, f"{type(error).__name__}: {error}")
        return error

    def book(self, answer: Any, live: bool) -> None:
        """Count the tokens and the money of an answer; `live` if it was not replayed."""
        count(of_answer(answer, self.model, self.prices), self.ledger, live)

    def _book_events(self, body: bytes, kind: str, live: bool) -> None:
        """Count a streamed answer that an evaluation records as a whole."""
        if "event-stream" in kind:
            usage = EventUsage(self.body_bytes)
            usage.read(body)
            self.book({"usage": usage.counted()}, live)

    def _keep(self, status: int, body: str, kind: str = "application/json") -> Entry | None:
        """Record an answer; the entry that counts, or None outside an evaluation."""
        if self.ledger is None:
            return None
        entry = Entry(self.key, self.server, status, body, kind, self.turn)
        if self._turns and not entry.succeeded:
            self._turns.failed(self.key, self.turn)
        return self.ledger.cassette.keep(entry)

    def _replayed(self, entry: Entry, book: bool = True) -> httpx2.Response:
        if entry.status == 0:
            return self.refused(entry.body)
        if book and entry.succeeded and "json" in entry.content_type:
            self.book(json.loads(entry.body), live=False)
        elif book and entry.succeeded:
            self._book_events(entry.body.encode(), entry.content_type, live=False)
        headers = {**NO_RETRY, "content-type": entry.content_type}
        return httpx2.Response(
            entry.status, headers=headers, content=entry.body.encode(), request=self.request
        )

    def refused(self, message: str) -> httpx2.Response:
        """The platform's own answer to a call that is not sent. It is recorded too, for a replay."""
        if self.ledger is None or not self.ledger.cassette.strict:
            self._keep(0, message)
        content = {"error": {"message": message, "type": "mlops", "code": "not_sent"}}
        return httpx2.Response(
            HTTPStatus.BAD_REQUEST, headers=NO_RETRY, content=json.dumps(content), request=self.request
        )
