"""The answer of a text model to one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.llm.conversation import Conversation
from mlops_lib.llm.traces.trajectory import Trajectory


@dataclass(frozen=True)
class Generation:
    """One answer, with its sources and costs.

    Attributes:
        input: The row.
        output: The answer, normally text; "" if there is none.
        contexts: Passages that the answer is based on, best first.
        error: Why there is no answer; "" if there is one.
        latency_s: Seconds from question to answer; in a conversation, the mean of its answers.
        usage: Tokens and money of the calls for it.
        trajectory: What the model did for it, as far as it was recorded;
            a service records nothing but tool calls.
        conversation: What user and model said, where the row has several turns;
            the output is the last answer.
    """

    input: Mapping[str, Any]
    output: Any = ""
    contexts: tuple[str, ...] = ()
    error: str = ""
    latency_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    trajectory: Trajectory = field(default_factory=Trajectory)
    conversation: Conversation | None = None
