"""The changes of a graph's state as its callers see them: messages in OpenAI's form,
and perhaps not all of them."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from mlops_lib.llm.vendors.completion import tool_calls

#: LangChain's type of a message -> OpenAI's role.
ROLES = {"human": "user", "ai": "assistant"}
#: Roles of messages that are for the model alone.
INNER = ("system", "developer", "tool", "function")
CALLS = ("tool_calls", "function_call")
#: Value of a message that is left out.
HIDDEN = object()


def visible(changes: Any, everything: bool) -> Any:
    """The changes of a node, as JSON's values as far as they are messages, objects and lists.

    Args:
        everything: Whether messages of the system and of tools stay, and the tool calls in messages.
    """
    found = _visible(changes, everything)
    return None if found is HIDDEN else found


def _visible(value: Any, everything: bool) -> Any:
    if hasattr(value, "additional_kwargs") and hasattr(value, "type"):  # a message of LangChain
        return _message(_as_openai(value, everything), everything)
    if isinstance(value, Mapping):
        if isinstance(value.get("role"), str) and "content" in value:
            return _message(dict(value), everything)
        found = {str(key): _visible(each, everything) for key, each in value.items()}
        return {key: each for key, each in found.items() if each is not HIDDEN}
    if isinstance(value, tuple) and len(value) == 2 and value[0] in INNER and not everything:
        return HIDDEN  # LangChain also takes ("system", "text") as a message
    if isinstance(value, list | tuple):
        return [found for each in value if (found := _visible(each, everything)) is not HIDDEN]
    if hasattr(type(value), "model_fields"):  # a state of pydantic
        return _visible({name: getattr(value, name) for name in type(value).model_fields}, everything)
    if is_dataclass(value) and not isinstance(value, type):  # Command too
        return _visible({field.name: getattr(value, field.name) for field in fields(value)}, everything)
    return value


def _message(message: dict[str, Any], everything: bool) -> Any:
    if everything:
        return message
    if message["role"] in INNER:
        return HIDDEN
    had_calls = any(message.pop(name, None) for name in CALLS)
    if isinstance(content := message["content"], list):  # a vendor puts tool calls among the texts
        message["content"] = [part for part in content if isinstance(part, str) or part.get("type") == "text"]
    return HIDDEN if had_calls and not message["content"] else message


def _as_openai(message: Any, everything: bool) -> dict[str, Any]:
    content = message.content if everything else str(message.text)
    kind = message.type.removesuffix("MessageChunk").lower()
    found: dict[str, Any] = {"role": ROLES.get(kind, kind), "content": content}
    found |= {
        name: value for name in ("id", "name", "tool_call_id") if (value := getattr(message, name, None))
    }
    if calls := tool_calls(message) if hasattr(message, "tool_calls") else ():
        found["tool_calls"] = calls
    return found
