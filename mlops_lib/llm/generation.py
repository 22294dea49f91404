"""What a text model made of one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_lib.llm.usage import Usage


@dataclass(frozen=True)
class Generation:
    """One answer and how it came about.

    Attributes:
        input: The row.
        output: The answer, text as a rule; "" when there is none.
        contexts: Passages that the answer was made from, best first.
        error: Why there is no answer; "" when there is one.
        latency_s: Seconds from question to answer.
        usage: Tokens and money of the calls it took.
    """

    input: Mapping[str, Any]
    output: Any = ""
    contexts: tuple[str, ...] = ()
    error: str = ""
    latency_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
