"""The user's part of a conversation, in columns of ``data.reference_columns``.

``turns`` has the user's messages after the first, as a list of texts; an object (question -> answer) answers questions that a
graph asks, by their text. ``goal`` is what the user wants,
``persona`` who the user is, and ``facts`` what the user knows (a text, a list or an object): an LLM plays
this user. A row may have both: the messages of ``turns`` come first. The first message is the question of the
row; where it is empty, the user begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.json_values import text_of, value_of
from mlops_lib.llm.conversation import Said

GOAL, PERSONA, FACTS, TURNS = "goal", "persona", "facts", "turns"


@dataclass(frozen=True)
class Script:
    """The user's part of one conversation.

    Attributes:
        turns: Messages of the user after the first, or answers to the questions of a graph.
        goal: What the simulated user wants; "": there is no simulated user.
        columns: The columns of the reference, which the prompt of the simulated user may name.
    """

    turns: tuple[Said, ...] = ()
    goal: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.turns or self.goal)

    @property
    def answers_questions(self) -> bool:
        """Whether an item of the turns answers questions of a graph by their text."""
        return not all(isinstance(one, str) for one in self.turns)


def scripts(references: Sequence[Mapping[str, Any]], is_simulated: bool, first_row: int = 0) -> list[Script]:
    """The scripts of some rows; an empty one for a row of a single turn.

    Args:
        references: The columns of ``data.reference_columns``.
        is_simulated: There is a simulated user. Otherwise a goal makes no conversation.
        first_row: Number of the first row, for errors.

    Raises:
        EvaluationError: A value has another form; names row and column.
    """
    found = []
    for number, values in enumerate(references, first_row):
        columns = {name: value_of(value) for name, value in values.items()}
        goal = _goal(columns.get(GOAL), number) if is_simulated else ""
        found.append(Script(_turns(columns.get(TURNS), number), goal, columns))
    return found


def _goal(value: Any, row: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    raise EvaluationError(
        f"Row {row} (counted from 0) has {GOAL} {text_of(value)!r}. Write a text, or leave it empty."
    )


def _turns(value: Any, row: int) -> tuple[Said, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, list) and all(one and (isinstance(one, dict) or _is_text(one)) for one in value):
        return tuple(value)
    raise EvaluationError(
        f"Row {row} (counted from 0) has {TURNS} {text_of(value)!r}. Write a list of texts, the user's messages after "
        "the question, where an object {question: answer} answers what a graph asks; or leave it empty. A column of another "
        "meaning needs another name."
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
