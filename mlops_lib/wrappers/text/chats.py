"""Chats in OpenAI's form as rows of a text model.

The row of a chat has the last question in the text column, and the whole chat in the column ``chat``. The
rule for a model with prompts: its own ``system`` prompt comes first, then all messages of the caller in their
order, with the text of the last ``user`` message put into the prompt ``user``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_lib.errors import InputError

#: Column with a chat. No caller can set it by a row: its value is an object,
#: and columns of text models are texts.
CHAT = "chat"


def chat_of(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chat of a row; None for a row of the source."""
    found = row.get(CHAT)
    return found if isinstance(found, dict) else None


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message. Its content is a text or a list of parts.

    Raises:
        InputError: The content is something else.
    """
    text, others = split(message)
    if others:
        raise InputError("A message's content must be text, or a list of parts of type 'text'.")
    return text


def split(message: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The text of a message, and its parts that are no text, such as images.

    Raises:
        InputError: The content is neither a text nor a list of parts.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise InputError("A message's content must be text, or a list of parts of type 'text'.")
    texts = [part for part in content if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "".join(part["text"] for part in texts), [part for part in content if part not in texts]


def last_question(messages: Sequence[Mapping[str, Any]]) -> int:
    """The place of the last message of the user.

    Raises:
        InputError: There is none, or a message is none that a chat may end with.
    """
    if not messages or messages[-1].get("role") not in ("user", "tool"):
        raise InputError("The last message must be the user's, or a tool's answer.")
    places = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    if not places:
        raise InputError("There is no message of the user.")
    return places[-1]


def with_prompts(
    messages: Sequence[Mapping[str, Any]], system: str | None, question: str
) -> list[dict[str, Any]]:
    """The messages for a model with prompts.

    Args:
        system: The model's own system prompt, filled; None: it has none.
        question: The prompt ``user`` with the last question.
    """
    found: list[dict[str, Any]] = [{"role": "system", "content": system}] if system is not None else []
    place = last_question(messages)
    for number, message in enumerate(messages):
        if number == place:
            others = split(message)[1]
            parts = [{"type": "text", "text": question}, *others]
            found.append({**message, "content": parts if others else question})
        else:
            found.append(dict(message))
    return found
