"""What a model did for one row: the nodes it went through, the messages of its LLMs,
and the tools it called."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trajectory:
    """The work on one row, in order.

    Attributes:
        events: ``{"node": name}`` for a step of a graph; ``{"role": "user" | "assistant", "content", "tool_calls"}`` for a
            message; ``{"role": "tool", "name", "args", "content", "error"}`` for a call of a tool that has ended. Keys
            without a value are left out. A tool call of a message is ``{"name", "args", "id"}``.
    """

    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def path(self) -> list[str]:
        """The nodes of the graph, in the order in which they began."""
        return [event["node"] for event in self.events if "role" not in event]

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        """The messages of users, LLMs and tools."""
        return [event for event in self.events if "role" in event]

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Name and arguments of each call that an LLM asked for,
        and of each that code made without an LLM."""
        found: list[dict[str, Any]] = []
        asked: set[Any] = set()
        for message in self.messages:
            calls = message.get("tool_calls") or ()
            if message["role"] == "tool" and message.get("id") not in asked:
                calls = [message]
            found += [{"name": call["name"], "args": call.get("args")} for call in calls]
            asked.update(call["id"] for call in calls if call.get("id"))
        return found

    @property
    def steps(self) -> int:
        """Nodes of the graph that ran; without a graph, messages."""
        return len(self.path) or len(self.messages)


def of_output(output: Any) -> Trajectory:
    """The trajectory of an answer that nothing else is known of: its text, or the message of a completion."""
    if (message := message_of(output)) is not None:
        calls = [_of_openai(call) for call in message.get("tool_calls") or ()]
        return Trajectory((message_event("assistant", message.get("content"), calls),))
    return (
        Trajectory((message_event("assistant", output),))
        if isinstance(output, str) and output
        else Trajectory()
    )


def message_of(output: Any) -> Mapping[str, Any] | None:
    """The message of a completion; None for another answer,
    such as an object with ``choices`` of a graph's own."""
    choices = output.get("choices") if isinstance(output, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    return message if isinstance(message, Mapping) else None


def message_event(role: str, content: Any, calls: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A message as an event."""
    event = {"role": role, "content": content, "tool_calls": [dict(call) for call in calls]}
    return {name: value for name, value in event.items() if value}


def _of_openai(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {
        "name": function.get("name", ""),
        "args": decoded(function.get("arguments")),
        "id": call.get("id"),
    }


def decoded(arguments: Any) -> Any:
    """Arguments of a tool: those that are JSON text as a value; other text stays as it is."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
