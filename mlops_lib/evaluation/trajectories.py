"""Trajectories as tables for people: what a model did for a row, a line for each step."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.wording import cut

if TYPE_CHECKING:
    import pandas as pd

#: Longest text of a line; the run's rows.json has all of it.
MAX_CHARS = 600
MAX_QUESTION_CHARS = 80


def is_worth_showing(case: Case) -> bool:
    """Whether the trajectory says more than the answer: nodes, tools, or several messages."""
    work = case.trajectory
    return bool(work.path or work.tool_calls or len(work.messages) > 1)


def table(case: Case) -> "pd.DataFrame":
    """The steps of a case: who did what; the expected tools and the reference last."""
    import pandas as pd

    lines = [("user", case.question)] if not _opens_with_the_user(case) else []
    for event in case.trajectory.events:
        if "role" not in event:
            lines.append((f"node {event['node']}", "begins"))
        else:
            lines += _lines(event)
    if case.generation.error:
        lines.append(("error", case.generation.error))
    lines += [
        (f"reference: {name}", _text(value)) for name, value in case.columns.items() if value is not None
    ]
    lines.append(("reference", case.reference))
    return pd.DataFrame([(who, cut(what, MAX_CHARS)) for who, what in lines], columns=["who", "what"])


def title(case: Case, row: int, scores: Mapping[str, float | None]) -> str:
    """The question of a case and its scores, as a heading."""
    shown = ", ".join(
        f"{name} {'none' if value is None else f'{value:.3g}'}" for name, value in scores.items()
    )
    question = " ".join(case.question.split())
    question = question if len(question) <= MAX_QUESTION_CHARS else f"{question[:MAX_QUESTION_CHARS]}…"
    return f"Row {row}: {question} ({shown})"


def _opens_with_the_user(case: Case) -> bool:
    messages = case.trajectory.messages
    return bool(messages) and messages[0]["role"] == "user"


def _lines(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    if event["role"] == "tool":
        result = event.get("content", "")
        return [(f"tool {event['name']}", f"failed: {event['error']}" if "error" in event else f"→ {result}")]
    who = "LLM" if event["role"] == "assistant" else event["role"]
    found = [(who, event["content"])] if event.get("content") else []
    return [*found, *((who, f"calls {_call(call)}") for call in event.get("tool_calls", ()))]


def _call(call: Mapping[str, Any]) -> str:
    """A call as code writes it: ``search(query="Paris")``."""
    args = call.get("args")
    if not isinstance(args, Mapping):
        return f"{call['name']}({'' if args is None else _text(args)})"
    return f"{call['name']}({', '.join(f'{name}={_text(value)}' for name, value in args.items())})"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
