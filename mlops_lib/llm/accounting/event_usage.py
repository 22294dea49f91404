"""The tokens of a streamed answer, read from its events as they pass."""

import json
from typing import Any

#: An unfinished line that is longer is no event with usage.
MAX_LINE = 2**20
#: Bytes of a request for a token, roughly, where the vendor does not tell the tokens.
BYTES_PER_TOKEN = 4
#: Types of the last event of OpenAI's Responses API, which has no ``[DONE]``.
LAST_EVENTS = ("response.completed", "response.incomplete")


class EventUsage:
    """Reads server-sent events of OpenAI and Anthropic. Their last events hold the usage.

    A stream that ends before has cost money all the same, and so has one that tells no usage. Then each event
    counts as a token, and so do each four bytes of the request: without that, a caller who always hangs up
    early would spend without a limit.

    Args:
        request_bytes: Size of the request.
    """

    def __init__(self, request_bytes: int) -> None:
        self._request_bytes = request_bytes
        self._told: dict[str, Any] = {}
        self._events, self._rest, self._is_whole = 0, b"", False

    def read(self, part: bytes) -> None:
        """Read the next bytes of the stream."""
        *lines, rest = (self._rest + part).split(b"\n")
        self._rest = rest if len(rest) < MAX_LINE else b""
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            self._events += 1
            if line[5:].strip() == b"[DONE]" or b'"message_stop"' in line:
                self._is_whole = True
            elif b'"usage"' in line:
                self._read_usage(line)

    def counted(self) -> dict[str, Any]:
        """The ``usage`` of an answer: as the vendor tells it, else by the events."""
        told = self._told
        if self._is_whole and told:
            return told
        prompt = (
            told.get("prompt_tokens") or told.get("input_tokens") or self._request_bytes // BYTES_PER_TOKEN
        )
        completion = told.get("completion_tokens") or told.get("output_tokens") or 0
        return {"prompt_tokens": prompt, "completion_tokens": max(completion, self._events)}

    def _read_usage(self, line: bytes) -> None:
        try:
            event = json.loads(line[5:])
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        # OpenAI's Responses API has it in the response, Anthropic in the message.
        for holder in (event.get("message"), event.get("response"), event):
            found = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(found, dict):
                self._told |= {name: value for name, value in found.items() if value}
        self._is_whole = self._is_whole or event.get("type") in LAST_EVENTS
