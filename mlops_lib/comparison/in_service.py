"""Compares champion and challenger of a running service, from its prediction log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlops_lib import plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.comparison.pairwise import compare_models
from mlops_lib.comparison.result import Against, ComparisonReport, Side
from mlops_lib.errors import DataError, EvaluationError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.metrics import answers
from mlops_lib.evaluation.metrics.interface import chosen as metrics_of
from mlops_lib.evaluation.tasks.text import DEFAULT_METRICS
from mlops_lib.llm.accounting.cassette import Cassette
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.llm.generation import Generation
from mlops_lib.monitoring.agreement import agreement
from mlops_lib.monitoring.mirrored import LoggedVersion, MirroredRequests, mirrored
from mlops_lib.monitoring.outcomes import JudgedRequests, judged_requests
from mlops_lib.monitoring.prediction_log import PredictionLog
from mlops_lib.network_inputs.spec import OutputSpec
from mlops_lib.registry import MODEL_DIGEST_TAG, Registry
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import CLASSES_KEY, COLUMNS_KEY, OUTPUTS_KEY


def compare_in_service(settings: Settings, folder: Path, since: datetime | None = None) -> ComparisonReport:
    """Compare the latest champion and challenger on the requests that both answered.

    Args:
        folder: The prediction log.
        since: Leave out earlier requests.

    Raises:
        DataError: The log has no such requests, or the classes or labels of a version are not known.
        EvaluationError: The rows cannot be scored, or not by ``evaluation.metric``.
    """
    log = PredictionLog(folder)
    requests = mirrored(log, since)
    task = settings.evaluation.task
    names = _names(settings, requests)
    output = settings.evaluation.output
    found = judged_requests(log, requests, task, settings.data.key, names, output)
    sides = _sides(requests)
    times = [datetime.fromtimestamp(int(at) / 1e6).astimezone() for at in requests.times[[0, -1]]]
    facts: dict[str, Any] = {
        "source": f"{len(requests):,} mirrored requests of {folder}, {times[0]:%Y-%m-%d %H:%M} to {times[1]:%Y-%m-%d %H:%M %Z}",
        "left_out": {
            reason: count for reason, count in (found.left_out | requests.left_out).items() if count
        },
        "agreement": agreement(log, requests, task, output),
        "notes": _notes(requests, found),
    }
    if not found.rows:
        return ComparisonReport(
            name=requests.champion.name,
            task=task,
            reference=sides[0],
            against=(Against(side=sides[1]),),
            gate_metrics=(settings.evaluation.metric,),
            **facts,
        )
    champion, challenger = found.judged(task, names)
    if task == "text":
        settings, note = _measurable(settings, found)
        facts["notes"] += [note] if note else []
        champion, challenger = (_scored(settings, found, rows) for rows in (champion, challenger))
    models = list(zip(sides, (champion, challenger), strict=True))
    inputs = [json.dumps(row.sent, ensure_ascii=False) for row in found.rows]
    return compare_models(settings, models=models, inputs=inputs, **facts)


def _sides(requests: MirroredRequests) -> list[Side]:
    """Both versions, with the latency of the requests that they answered."""
    found = []
    both = (requests.champion, requests.champion_ms), (requests.challenger, requests.challenger_ms)
    for role, (version, ms) in zip(("champion", "challenger"), both, strict=True):
        answered = ms[~requests.failed] if role == "challenger" else ms
        median, slow = np.percentile(answered, [50, 95]) if len(answered) else (np.nan, np.nan)
        latency = {"latency_ms": float(median), "latency_p95_ms": float(slow)} if len(answered) else {}
        found.append(
            Side(name=version.name, version=version.version, digest=version.digest, stage=role, **latency)
        )
    return found


def _notes(requests: MirroredRequests, found: JudgedRequests) -> list[str]:
    notes = []
    if found.repeated:
        notes.append(f"{found.repeated:,} rows have feedback more than once: the last one counts.")
    if failed := int(requests.failed.sum()):
        notes.append(
            f"The challenger failed on {failed:,} of {len(requests):,} requests; those with feedback count as the worst "
            "answer."
        )
    if not found.rows:
        notes.append(
            "No row has usable feedback, so which version is better is unknown. Send outcomes to /feedback."
        )
    return notes


def _names(settings: Settings, requests: MirroredRequests) -> Sequence[Any]:
    """The classes, or several labels, of both versions in the order of their predictions;
    empty for other tasks.

    Raises:
        DataError: The registry does not say, or the two have different ones.
    """
    task = settings.evaluation.task
    if task not in ("classification", "multilabel", "multioutput"):
        return ()
    kind = "classes" if task == "classification" else "labels"
    of_champion, of_challenger = (
        _names_of(settings, version, kind) for version in (requests.champion, requests.challenger)
    )
    if of_champion != of_challenger:
        raise DataError(
            f"{requests.champion} has the {kind} {of_champion}, and {requests.challenger} has {of_challenger}. Only "
            f"versions with the same {kind} in the same order can be compared in service."
        )
    return of_champion


def _names_of(settings: Settings, version: LoggedVersion, kind: str) -> list[Any]:
    import mlflow

    found = Registry(settings).resolve(version.name, version=version.version)
    registered = found.tags.get(MODEL_DIGEST_TAG, "")
    if registered and version.digest and registered != version.digest:
        raise DataError(
            f"{version} in the registry is not the model that answered: its digest is {registered[:12]}, and the log has "
            f"{version.digest[:12]}. The model was deleted, and its name used again."
        )
    metadata = mlflow.models.get_model_info(found.uri).metadata or {}
    columns = metadata.get(COLUMNS_KEY)
    labels = Schema.from_dict(columns).labels if columns else ()
    if kind == "classes" and settings.evaluation.heads:
        return _classes_of_head(version, metadata, settings.evaluation.output)
    if not (names := metadata.get(CLASSES_KEY) if kind == "classes" else labels):
        raise DataError(
            f"{version} does not name its {kind}, so outcomes cannot be compared with its predictions. A model that the "
            "platform trains names them."
        )
    return list(names)


def _classes_of_head(version: LoggedVersion, metadata: Mapping[str, Any], output: str) -> list[int]:
    """The classes of an output beside others: numbers from 0. One probability is that of class 1."""
    for one in map(OutputSpec.from_dict, metadata.get(OUTPUTS_KEY, ())):
        if one.name == output and not one.shape:
            return [0, 1]
        if one.name == output and len(one.shape) == 1 and one.shape[0]:
            return list(range(one.shape[0]))
    raise DataError(
        f"{version} has no output {output!r} with classes, so outcomes cannot be compared with its predictions. Set "
        "evaluation.output and evaluation.heads as in its training."
    )


def _measurable(settings: Settings, found: JudgedRequests) -> tuple[Settings, str]:
    """Settings without the metrics that need columns which no request has; a note names them.

    Raises:
        EvaluationError: ``evaluation.metric`` is one of them.
    """
    chosen = settings.evaluation
    sent = {name for row in found.rows if isinstance(row.sent, dict) for name in row.sent}

    def lacks(name: str) -> bool:
        people = chosen.rubrics[name].people if name in chosen.rubrics else ""
        return not sent.issuperset({*answers.needed_columns(name, settings)} - {people})

    if not (left_out := [name for name in metrics_of("text", settings, DEFAULT_METRICS) if lacks(name)]):
        return settings, ""
    if chosen.metric in left_out:
        raise EvaluationError(
            f"evaluation.metric {chosen.metric} needs columns of the reference, which requests lack. Set evaluation.metric to "
            "one that needs the label alone, such as rouge_l."
        )
    kept = {
        key: {name: limit for name, limit in getattr(chosen.gate, key).items() if name not in left_out}
        for key in ("thresholds", "slice_thresholds", "margins")
    }
    metrics = tuple(name for name in chosen.metrics if name not in left_out)
    measured = chosen.model_copy(update={"metrics": metrics, "gate": chosen.gate.model_copy(update=kept)})
    note = f"Left out, since they need columns of the reference that a request lacks: {', '.join(left_out)}."
    return settings.model_copy(update={"evaluation": measured}), note


def _scored(settings: Settings, found: JudgedRequests, rows: JudgedRows) -> JudgedRows:
    """Text answers with the score of each row. Calls of a judge are within the limits of `evaluation`."""
    task = plugins.load("task", "text")(settings)
    errors = rows.errors or [""] * len(rows.ids)
    made = [
        Generation(one.sent if isinstance(one.sent, dict) else {"input": one.sent}, answer or "", error=error)
        for one, answer, error in zip(found.rows, rows.predicted, errors, strict=True)
    ]
    with Ledger.of(settings.evaluation, Cassette()).open():
        metrics = task.score(rows.truth, made)
        per_row = task.details(rows.truth, made)["per_row"]
    usable = [name for name, score in metrics.items() if score.scored]
    values = {name: _numbers(per_row[name]) for name in usable}
    return replace(rows, values=values)


def _numbers(column: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in column.astype(float)]
