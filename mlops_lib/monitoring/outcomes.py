"""Judges the mirrored answers of champion and challenger by the outcomes that callers sent later."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.monitoring.mirrored import MirroredRequests, among, request_digests
from mlops_lib.monitoring.mirrored_answers import Answers, mirrored_answers
from mlops_lib.monitoring.prediction_log import PredictionLog, read_json

#: Most rows that are judged, the newest ones; of text fewer, since a metric may call an LLM for each row.
MAX_ROWS, MAX_TEXT_ROWS = 100_000, 2_000
#: Characters of a value in a reason.
SHOWN = 40


@dataclass
class Outcome:
    """The latest outcome that was sent for a row (or for all rows of a request), and how many were."""

    time: int
    value: Any
    count: int = 1


#: Outcomes of a request by row; None: of all its rows. By request id and name of the API key.
Feedback = dict[tuple[str, str], dict[int | None, Outcome]]


class JudgedRow(NamedTuple):
    """One row with its outcome; `sent` is the row, `error` why the challenger has no prediction."""

    id: str
    entity: str
    truth: Any
    champion: Any
    challenger: Any
    error: str
    sent: Any


@dataclass
class JudgedRequests:
    """The rows with an outcome, and the reasons why others are left out.

    Attributes:
        repeated: Rows with more than one outcome: the last one counts.
    """

    rows: list[JudgedRow] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def judged(self, task: str, classes: Sequence[Any]) -> tuple[JudgedRows, JudgedRows]:
        """The predictions of champion and challenger, in the form of the gate."""
        ids, entities, truth, ours, theirs, errors, _ = map(list, zip(*self.rows, strict=True))
        same: dict[str, Any] = {
            "task": task,
            "ids": ids,
            "entities": entities,
            "truth": truth,
            "classes": list(classes),
        }
        failed = errors if any(errors) else ()
        return JudgedRows(**same, predicted=ours), JudgedRows(**same, predicted=theirs, errors=failed)


def judged_requests(
    log: PredictionLog,
    requests: MirroredRequests,
    task: str,
    key: str = "",
    classes: Sequence[Any] = (),
    output: str = "",
) -> JudgedRequests:
    """Join the answers with the feedback, on request id, API key and row.

    Args:
        task: Name of the task.
        key: Column with the entity of a row. Rows without it are of one entity with
            their request's other rows.
        classes: Read for a classification: the classes, in the order of the probabilities.
        output: The judged output of models that give several.
    """
    most = MAX_TEXT_ROWS if task == "text" else MAX_ROWS
    with_feedback = np.isin(requests.ids, _requests_with_feedback(log))
    newest = requests.ids[with_feedback][-most:]
    feedback, reader = _feedback(log, newest), _reader(task, classes)
    found, read = JudgedRequests(), 0
    for answers in mirrored_answers(log, requests, newest, output):
        if len(found.rows) >= most:
            break
        read += 1
        if not answers.rows:
            found.left_out["requests with an answer that is not one prediction for each row"] += 1
        for at in range(len(answers.rows)):
            _judge(found, answers, at, feedback[answers.request_id, answers.caller], key, reader)
    found.left_out["requests without feedback"] = len(requests) - int(with_feedback.sum())
    found.left_out[f"requests before the newest {most:,} rows"] = int(with_feedback.sum()) - read
    return found


def _judge(
    found: JudgedRequests,
    answers: Answers,
    at: int,
    outcomes: dict[int | None, Outcome],
    key: str,
    reader: Callable[[Any, Any], str],
) -> None:
    """Add one row, or count the reason why it is left out."""
    sent = [outcomes[place] for place in (at, None) if place in outcomes]
    if not sent:
        found.left_out["rows without feedback"] += 1
        return
    latest = max(sent, key=lambda outcome: outcome.time)
    found.repeated += sum(outcome.count for outcome in sent) > 1
    if problem := reader(latest.value, answers.champion[at]):
        found.left_out[f"rows whose outcome is {problem}"] += 1
        return
    row, champion, challenger = answers.rows[at], answers.champion[at], answers.challenger[at]
    entity = row.get(key) if isinstance(row, dict) else None
    found.rows.append(
        JudgedRow(
            f"{answers.request_id}:{at}",
            answers.request_id if entity is None else str(entity),
            latest.value,
            champion,
            challenger,
            answers.error,
            row,
        )
    )


def _reader(task: str, classes: Sequence[Any]) -> Callable[[Any, Any], str]:
    """A function from an outcome and a prediction to the reason why the outcome is no truth of the task;
    "" if it is one."""

    def of_class(value: Any, _: Any) -> str:
        known = not isinstance(value, list | dict) and value in classes
        return "" if known else f"none of the classes {', '.join(map(repr, classes))}"

    def number(value: Any, _: Any) -> str:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if fits else "no number"

    def text(value: Any, _: Any) -> str:
        return "" if isinstance(value, str) and value.strip() else "no text, so no reference answer"

    def bits(value: Any, predicted: Any) -> str:
        fits = isinstance(value, list) and len(value) == np.size(predicted)
        fits = fits and all(isinstance(one, int | float) and one in (0, 1) for one in value)
        return "" if fits else "no list with 0 or 1 for each label"

    def numbers(value: Any, predicted: Any) -> str:
        fits = isinstance(value, list) and len(value) == np.size(predicted)
        fits = fits and all(isinstance(one, bool) or not number(one, None) for one in value)
        return "" if fits else "no list with a number for each label"

    def relevance(value: Any, _: Any) -> str:
        if isinstance(value, bool):  # a relevance may be yes or no
            return ""
        return number(value, None) or ("a negative relevance" if value < 0 else "")

    readers = {
        "classification": of_class, "regression": number, "text": text, "multilabel": bits, "multioutput": numbers,
        "ranking": relevance, "forecast": number,
    }  # fmt: skip
    return readers.get(task, lambda value, _: "")


def _requests_with_feedback(log: PredictionLog) -> np.ndarray:
    digests = [request_digests(rows) for rows in log.read("feedback", ("request_id", "key"))]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *digests]))


def _feedback(log: PredictionLog, wanted: np.ndarray) -> Feedback:
    """The outcomes of the requests with these digests."""
    import pyarrow as pa

    wanted = np.sort(wanted)
    found: Feedback = {}
    for batch in log.read("feedback", ("time", "request_id", "key", "row", "outcome")):
        times = batch["time"].cast(pa.int64())  # Python's datetimes take longer than all the rest
        some = batch.set_column(0, "time", times).filter(among(request_digests(batch), wanted))
        for sent in some.to_pylist():
            of_request = found.setdefault((sent["request_id"], sent["key"] or ""), {})
            before = of_request.get(sent["row"])
            latest = Outcome(sent["time"], read_json(sent, "outcome"))
            if before:
                latest = max(before, latest, key=lambda outcome: outcome.time)
                latest.count = before.count + 1 if latest is not before else latest.count + 1
            of_request[sent["row"]] = latest
    return found
