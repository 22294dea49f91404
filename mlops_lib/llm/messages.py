"""The form of messages in OpenAI's protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_lib.errors import InputError

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check what no vendor takes. Fields that only some vendors know are theirs to refuse.

    Raises:
        InputError: A message has an unknown role, or lacks what its role needs.
    """
    for number, message in enumerate(messages):
        if problem := _problem(message):
            raise InputError(f"Message {number} cannot be read: {problem}")


def _problem(message: Mapping[str, Any]) -> str:
    """What is wrong with a message; "" if nothing is."""
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        return f"its 'role' is {role!r}; roles are {', '.join(ROLES)}."
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in content):
            return "its 'content' must be a text or a list of parts with a 'type'."
    elif not isinstance(content, str) and not (content is None and role == "assistant"):
        return f"its 'content' must be a text or a list of parts, and is {content!r}."
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "it needs the 'tool_call_id' of the call that it answers."
    calls = message.get("tool_calls") or []
    return (
        ""
        if isinstance(calls, list) and all(map(_is_call, calls))
        else (
            "'tool_calls' must be a list of calls with 'id', and a 'function' with 'name' and 'arguments' as a text."
        )
    )


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return (
        isinstance(function, Mapping)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )
