"""How much two versions agree on the same requests, where the right answers are not known."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlops_lib.monitoring.mirrored import MirroredRequests
from mlops_lib.monitoring.mirrored_answers import mirrored_answers
from mlops_lib.monitoring.prediction_log import PredictionLog

#: Most rows that are compared, the newest ones.
MAX_ROWS = 100_000
#: Relative difference up to which two numbers are equal: somewhat more than the precision of a float32.
TOLERANCE = 1e-6


class Agreement(BaseModel):
    """Attributes:
    rows: Rows that both answered, the newest ones.
    different: Rows with different predictions; of classes: with another most probable class.
    largest: Largest difference of two numbers; None for other predictions.
    at: Request id and row of the largest difference, else of the first different row.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    different: int
    largest: float | None = None
    at: str = ""


def agreement(log: PredictionLog, requests: MirroredRequests, task: str, output: str = "") -> Agreement:
    """Compare the newest answers of both versions, row by row; of several outputs the given one."""
    rows = different = 0
    largest, at = None, ""
    for answers in mirrored_answers(log, requests, requests.ids[~requests.failed][-MAX_ROWS:], output):
        for row, (ours, theirs) in enumerate(zip(answers.champion, answers.challenger, strict=True)):
            rows += 1
            gap = _gap(ours, theirs)
            differ = (
                _side(ours) != _side(theirs)
                if task == "classification" and gap is not None
                else _differ(ours, theirs, gap)
            )
            different += differ
            if gap is not None and (largest is None or gap > largest):
                largest, at = gap, f"{answers.request_id}:{row}"
            elif differ and not at:
                at = f"{answers.request_id}:{row}"
        if rows >= MAX_ROWS:
            break
    return Agreement(rows=rows, different=different, largest=largest, at=at)


def _gap(ours: Any, theirs: Any) -> float | None:
    """The largest difference of two numbers, or of two lists of numbers of one length;
    None for other values."""
    try:
        one, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    except (TypeError, ValueError):
        return None
    if isinstance(ours, str) or isinstance(theirs, str) or one.shape != other.shape or not one.size:
        return None
    return float(np.abs(one - other).max())


def _differ(ours: Any, theirs: Any, gap: float | None) -> bool:
    if gap is None:
        return bool(ours != theirs)
    return gap > TOLERANCE * float(np.abs(np.asarray([ours, theirs], dtype=float)).max())


def _side(probabilities: Any) -> int:
    """The most probable class: of two, by the probability of the second."""
    if isinstance(probabilities, list):
        return int(np.argmax(probabilities))
    return int(probabilities > 0.5)
