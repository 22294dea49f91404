"""Predictions of a chat as messages of OpenAI's protocol."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.inference.json_values import plain


class Choice(NamedTuple):
    """The one answer to a chat.

    Attributes:
        message: In OpenAI's form.
        finish_reason: As the vendor, or the model itself, gives it.
        usage: The model's own count of tokens; None: it has none.
    """

    message: dict[str, Any]
    finish_reason: str
    usage: dict[str, Any] | None = None

    @property
    def delta(self) -> dict[str, Any]:
        """The message as one part of a stream: its tool calls are numbered."""
        found = {name: value for name, value in self.message.items() if name != "role" and value is not None}
        if calls := found.get("tool_calls"):
            found["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        return found


def choice_of(prediction: Any) -> Choice:
    """The answer in a prediction.

    A prediction is a text; an object with OpenAI's ``choices`` (of the `llm` wrapper, or MLflow's ChatModel);
    one with ``messages`` (ChatAgent), of which the last is the answer; or one with ``output``
    (ResponsesAgent). Any other is shown as JSON.
    """
    if isinstance(prediction, Mapping):
        if choice := _last(prediction, "choices"):
            message = {"role": "assistant", "content": None, **(choice.get("message") or {})}
            return Choice(message, choice.get("finish_reason") or "stop", prediction.get("usage"))
        if last := _last(prediction, "messages"):
            kept = {name: last.get(name) for name in ("content", "tool_calls") if last.get(name)}
            finish = prediction.get("finish_reason") or "stop"
            return Choice({"role": "assistant", "content": None, **kept}, finish, prediction.get("usage"))
        if _last(prediction, "output"):
            return Choice(_text_message(_output_text(prediction["output"])), "stop", prediction.get("usage"))
    return Choice(_text_message(prediction), "stop")


def is_interrupt(prediction: Any) -> bool:
    """Whether a graph has stopped to ask its caller."""
    return isinstance(prediction, Mapping) and prediction.keys() == {"interrupt", "interrupts", "thread_id"}


def _text_message(prediction: Any) -> dict[str, Any]:
    is_text = isinstance(prediction, str)
    text = prediction if is_text else json.dumps(prediction, ensure_ascii=False, default=plain)
    return {"role": "assistant", "content": text}


def _last(prediction: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The first of ``choices``, the last of another list; None if it is no object."""
    found = prediction.get(name)
    if not isinstance(found, list) or not found:
        return None
    each = found[0 if name == "choices" else -1]
    return each if isinstance(each, dict) else None


def _output_text(output: list[Any]) -> str:
    parts = [part for item in output if isinstance(item, dict) for part in item.get("content") or ()]
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))
