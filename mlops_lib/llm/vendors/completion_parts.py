"""Reads the answers of OpenAI's chat completions, whole or event by event."""

import json
from collections.abc import Mapping
from typing import Any

from mlops_lib.llm.vendors.vendor import NO_USAGE, Answer, Part, VendorError

END = b"[DONE]"


def answer_in(content: Any) -> Answer:
    """The answer in a whole completion.

    Raises:
        VendorError: There is none.
    """
    choices = _fields(content).get("choices")
    if not choices:
        raise VendorError(f"The vendor's answer has no 'choices': {_shown(content)}")
    message = choices[0].get("message") or {}
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    finish = choices[0].get("finish_reason") or ""
    refusal = message.get("refusal") or ""
    return Answer(_text(message.get("content")), finish, calls, refusal, _usage(content))


class Parts:
    """The events of one stream so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[Any, dict[str, Any]] = {}
        self._finish = self._refusal = ""
        self._usage = NO_USAGE
        #: Whether the last event has come.
        self.ended = False

    def read(self, data: bytes) -> Part | None:
        """The part in an event; None if it has none.

        Raises:
            VendorError: The event is an error, or cannot be read.
        """
        if data == END:
            self.ended = True
            return None
        try:
            chunk = json.loads(data)
        except ValueError as error:
            raise VendorError(
                f"The vendor's stream has an event that is no JSON: {error}: {_shown(data)}"
            ) from None
        choices = _fields(chunk).get("choices")
        if chunk.get("usage"):
            self._usage = _usage(chunk)
        if not choices:  # an event with the usage alone, say
            return None
        choice = choices[0]
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        self._refusal += delta.get("refusal") or ""
        calls = [self._part_of(call) for call in delta.get("tool_calls") or ()]
        if text := _text(delta.get("content")):
            self._texts.append(text)
        return Part(text, calls) if text or calls else None

    def whole(self) -> Answer:
        """The whole answer.

        Raises:
            VendorError: The stream has ended before the answer.
        """
        if not (self.ended or self._finish):
            raise VendorError("The vendor's stream ended before the answer did.")
        calls = tuple(map(_call, self._calls.values()))
        return Answer("".join(self._texts), self._finish, calls, self._refusal, self._usage)

    def _part_of(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A part of a tool call, whose number is its place among the calls of the stream."""
        place = part.get("index")
        if place is None:  # some servers send no number; a part with an id begins a call
            place = len(self._calls) if part.get("id") else next(reversed(self._calls), 0)
        function = part.get("function") or {}
        arguments = function.get("arguments") or ""
        call = self._calls.setdefault(place, {"number": len(self._calls), "function": {"arguments": ""}})
        call["function"]["arguments"] += arguments
        if not part.get("id"):
            return {"index": call["number"], "function": {"arguments": arguments}}
        call["id"], call["function"]["name"] = part["id"], function.get("name")
        return {"index": call["number"], **_call(part)}


def _fields(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise VendorError(f"The vendor sent {_shown(content)} in place of an object.")
    if error := content.get("error"):
        raise VendorError(f"The vendor sent an error: {error}")
    return content


def _usage(content: Mapping[str, Any]) -> dict[str, int]:
    found = content.get("usage") or {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: int(found[theirs]) for ours, theirs in names.items() if found.get(theirs) is not None}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call with its own arguments, whatever they are."""
    function = call.get("function") or {}
    kept = {"name": function.get("name"), "arguments": function.get("arguments") or ""}
    return {"id": call.get("id"), "type": "function", "function": kept}


def _text(content: Any) -> str:
    """The text of a message's content: a text, null, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(
        str(part.get("text") or "")
        for part in parts
        if isinstance(part, Mapping) and part.get("type") == "text"
    )


def _shown(content: Any) -> str:
    return repr(content)[:200]
