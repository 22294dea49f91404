"""Interrupts of a graph in golden data: the questions that its user reads, and the answers in ``turns``.

LangGraph makes the ids of interrupts anew in each run, so golden data names a question by its text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_lib.errors import InputError
from mlops_lib.evaluation.metrics.json_values import text_of
from mlops_lib.llm.conversation import Said


def open_in(output: Any) -> list[dict[str, Any]]:
    """The open interrupts of a prediction, with ``id`` and ``value``; empty for an answer."""
    is_interrupt = isinstance(output, Mapping) and {"interrupt", "interrupts"} <= output.keys()
    return list(output["interrupts"]) if is_interrupt else []


def texts(interrupts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The questions as texts, an object as JSON, in the same order in each run."""
    return sorted(text_of(each["value"]) for each in interrupts)


def shown(interrupts: Sequence[Mapping[str, Any]]) -> Any:
    """What a user reads: the question; of several, a text with a line for each."""
    return interrupts[0]["value"] if len(interrupts) == 1 else "\n".join(texts(interrupts))


def resume(interrupts: Sequence[Mapping[str, Any]], said: Said) -> Any:
    """The value of ``resume`` that answers open interrupts. A text answers a single one; question -> answer those that
    it names.

    Raises:
        InputError: A text cannot answer several questions, or a question is not open.
    """
    questions = texts(interrupts)
    if isinstance(said, str):
        if len(questions) == 1:
            return said
        raise InputError(
            f"The graph asks {len(questions)} questions at once, which one text cannot answer. {_line(questions)}"
        )
    if unknown := [question for question in said if question not in questions]:
        asked = ", ".join(map(repr, questions))
        raise InputError(f"'turns' answers {unknown[0]!r}, which is not open. The graph asks: {asked}.")
    by_id = ((each["id"], text_of(each["value"])) for each in interrupts)
    return {number: said[question] for number, question in by_id if question in said}


def unanswered(questions: Sequence[str]) -> str:
    """The error of a row whose graph asks, and that has no answer."""
    asked = ", ".join(map(repr, questions))
    return (
        f"The graph stopped to ask {asked}. {_line(questions)} It needs data.reference_columns: [turns] and "
        "model.params.threads: true."
    )


def _line(questions: Sequence[str]) -> str:
    """The line of the golden data that answers."""
    answers = dict.fromkeys(questions, "...") if len(questions) > 1 else "..."
    return f'Answer in the row of the golden data: "turns": {json.dumps([answers], ensure_ascii=False)}.'
