"""The example's own metric and slice: were the passages that hold the answer found, and the language of a question."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlops_lib.evaluation.metrics import Case

GOLDEN = Path(__file__).with_name("golden.jsonl")


def support_found(case: Case) -> float:
    """Share of a question's supporting passages among the answer's contexts; 1 if the question has none."""
    if not (wanted := _passages()[case.question]):
        return 1.0
    found = "\n".join(case.contexts)
    return sum(passage in found for passage in wanted) / len(wanted)


def language(row: Mapping[str, Any]) -> str:
    """The language of a row's question: Korean if it has a Korean letter, else English."""
    return "Korean" if re.search("[가-힣]", row["question"]) else "English"


@cache
def _passages() -> dict[str, list[str]]:
    rows = map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())
    return {row["question"]: row["passages"] for row in rows}
