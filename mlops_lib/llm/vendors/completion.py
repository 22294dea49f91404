"""Messages of LangChain's models in OpenAI's form: answers, and the parts of a stream."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

#: Anthropic's stop reason -> OpenAI's finish reason. Others stay as the vendor sent them.
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def completion(
    text: str, finish: str, calls: Sequence[dict[str, Any]] = (), refusal: str = ""
) -> dict[str, Any]:
    """An answer with OpenAI's ``choices``: the prediction for a chat.

    Args:
        finish: Why the answer ends; empty: it has its natural end.
        calls: Tool calls in OpenAI's form.
        refusal: The vendor's words for refusing.
    """
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (calls or refusal) else None,
    }
    if calls:
        message["tool_calls"] = list(calls)
    if refusal:
        message["refusal"] = refusal
    reason = finish or ("tool_calls" if calls else "stop")
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def completion_of(message: "AIMessage") -> dict[str, Any]:
    """`completion` of a model's message."""
    refusal = str(message.additional_kwargs.get("refusal") or "")
    return completion(str(message.text), finish_of(message), tool_calls(message), refusal)


def finish_of(message: "AIMessage") -> str:
    """Why the vendor ended the message; empty: it is not known."""
    about = message.response_metadata
    reason = about.get("finish_reason") or about.get("stop_reason") or ""
    return FINISH.get(reason, reason)


def tool_calls(message: "AIMessage") -> list[dict[str, Any]]:
    """A message's tool calls in OpenAI's form, those whose arguments are no JSON included."""
    calls: list[Any] = [*message.tool_calls, *message.invalid_tool_calls]
    return [_call(each["id"], each["name"], each["args"]) for each in calls]


class ToolCallDeltas:
    """Numbers the tool calls of one stream from 0, as OpenAI does. Anthropic counts pieces of text too."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def of(self, chunk: "AIMessageChunk") -> list[dict[str, Any]]:
        """The parts of tool calls in a chunk."""
        return [self._delta(each) for each in chunk.tool_call_chunks]

    def _delta(self, part: Any) -> dict[str, Any]:
        number = self._numbers.setdefault(part.get("index"), len(self._numbers))
        if part.get("id"):
            return {"index": number, **_call(part["id"], part["name"], part.get("args") or "")}
        return {"index": number, "function": {"arguments": part.get("args") or ""}}


def _call(identity: Any, name: Any, arguments: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}
