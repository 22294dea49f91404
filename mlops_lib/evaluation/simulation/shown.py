"""Conversations for people: a table of their ends, and a page on which each is folded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING

from mlops_lib.evaluation.metrics.interface import Case
from mlops_lib.evaluation.trajectories import title
from mlops_lib.llm.conversation import ENDS

if TYPE_CHECKING:
    import pandas as pd

#: Most conversations on a page; the run's rows.json has all of them.
MAX_CONVERSATIONS = 100
BUBBLE = "margin: 4px 0; padding: 6px 10px; border-radius: 8px; white-space: pre-wrap; max-width: 44em; color: #111;"
SIDES = {
    "user": "background: #e8eefc; margin-left: 4em;",
    "assistant": "background: #f1f1f1; margin-right: 4em;",
}


def ends(cases: Sequence[Case]) -> dict[str, float]:
    """``conversations.<end>`` -> conversations with this end, and ``conversations.turns``, the mean;
    empty without any."""
    found = [case.conversation for case in cases if case.conversation]
    if not found:
        return {}
    counts = Counter(one.end for one in found)
    return {f"conversations.{end}": float(counts[end]) for end in ENDS} | {
        "conversations.turns": fmean(one.turns for one in found)
    }


def table(cases: Sequence[Case]) -> "pd.DataFrame":
    """A line for each way in which conversations ended: how many, and their mean turns."""
    import pandas as pd

    found = [case.conversation for case in cases if case.conversation]
    lines = [(end, [one.turns for one in found if one.end == end]) for end in ENDS]
    return pd.DataFrame(
        [
            {"end": end, "conversations": len(turns), "mean turns": fmean(turns)}
            for end, turns in lines
            if turns
        ]
    )


def page(cases: Sequence[Case], order: Sequence[int], scores: Mapping[str, Sequence[float | None]]) -> str:
    """HTML with a folded chat for each conversation; "" if there is none.

    Args:
        order: The rows, the worst first.
        scores: Metric -> the score of each row.
    """
    rows = [row for row in order if cases[row].conversation]
    found = [_folded(cases[row], row, {name: values[row] for name, values in scores.items()}) for row in rows]
    more = len(rows) - MAX_CONVERSATIONS
    note = f"<p>{more} more conversations are in rows.json of the run.</p>" if more > 0 else ""
    return "".join(found[:MAX_CONVERSATIONS]) + note


def _folded(case: Case, row: int, scores: Mapping[str, float | None]) -> str:
    assert case.conversation
    said = [_bubble(message["role"], message["content"]) for message in case.conversation.messages]
    failed = f"<p><b>{escape(case.generation.error)}</b></p>" if case.generation.error else ""
    count = case.conversation.turns
    head = f"{title(case, row, scores)} · {count} turn{'s' * (count != 1)}, {case.conversation.end}"
    return f"<details><summary>{escape(head)}</summary>{''.join(said)}{failed}</details>"


def _bubble(role: str, text: str) -> str:
    return f'<div style="{BUBBLE} {SIDES[role]}"><b>{role}</b>\n{escape(text)}</div>'
