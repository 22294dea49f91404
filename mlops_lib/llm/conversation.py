"""A conversation of several turns between a user and a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

#: Why a conversation ended.
GOAL_REACHED, GAVE_UP, MAX_TURNS = "goal_reached", "gave_up", "max_turns"
STOPPED, SCRIPT_ENDED, EMPTY_ANSWER, ERROR = "stopped", "script_ended", "empty_answer", "error"
ENDS = (GOAL_REACHED, GAVE_UP, MAX_TURNS, STOPPED, SCRIPT_ENDED, EMPTY_ANSWER, ERROR)


#: What a user says next: a text, or question -> answer for the questions of a graph.
Said = str | Mapping[str, Any]


class Message(TypedDict):
    """What one side said; the role is ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """What user and model said, in order, and why it ended (one of `ENDS`)."""

    messages: Sequence[Message]
    end: str

    @property
    def turns(self) -> int:
        """Messages of the user."""
        return sum(message["role"] == "user" for message in self.messages)


def transcript(messages: Sequence[Message]) -> str:
    """The messages as text, a paragraph each."""
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
