"""The example's own metric: did retrieval find the passages that hold the answer?"""

import json
from functools import cache
from pathlib import Path

from mlops_lib.evaluation.metrics import Case

GOLDEN = Path(__file__).with_name("golden.jsonl")


def support_found(case: Case) -> float:
    """Share of a question's supporting passages among the answer's contexts; 1 if the question has none."""
    if not (wanted := _passages()[case.question]):
        return 1.0
    found = "\n".join(case.contexts)
    return sum(passage in found for passage in wanted) / len(wanted)


@cache
def _passages() -> dict[str, list[str]]:
    rows = map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())
    return {row["question"]: row["passages"] for row in rows}
