"""The subject of a question: a logged prediction, or a version that a person names."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_lib.errors import DataError, MlopsError
from mlops_lib.lineage.why.link import Link, short
from mlops_lib.monitoring.prediction_log import PredictionLog
from mlops_lib.redact import mask_secrets
from mlops_lib.settings import Settings

#: Characters of a row that a person is shown.
MAX_SHOWN = 120


@dataclass(frozen=True)
class Subject:
    """The model that a chain is about, as far as it is known before MLflow is asked.

    Attributes:
        version: Number; 0: `alias` or `stage` decides.
        run_id, digest: Of the model that answered; "" if the log does not have them.
        at: When it answered, with time zone; None: the question is about now.
    """

    name: str
    version: int = 0
    alias: str = ""
    stage: str = ""
    run_id: str = ""
    digest: str = ""
    at: datetime | None = None


def parsed(target: str, version: int = 0) -> Subject | None:
    """The version that a person names as ``NAME VERSION`` or ``models:/...``; None for a request id.

    Raises:
        MlopsError: The address is no address of a registered model.
    """
    if not target.startswith("models:/"):
        return Subject(target, version) if version else None
    address = target.removeprefix("models:/")
    name, _, alias = address.partition("@")
    if alias and name:
        return Subject(name, alias=alias)
    name, _, wanted = address.rpartition("/")
    if not (name and wanted):
        raise MlopsError(
            f"{target!r} names no version. Write models:/NAME/VERSION, models:/NAME/STAGE or models:/NAME@ALIAS."
        )
    return Subject(name, int(wanted)) if wanted.isdecimal() else Subject(name, stage=wanted)


def logged(settings: Settings, request_id: str) -> list[tuple[Link, Subject]]:
    """The answers to a request in the prediction log, each with the model that gave it.

    Mirrored answers are left out when the request has another: the caller never saw them.

    Raises:
        DataError: There is no log, or the request is not in it.
    """
    if not settings.serving.prediction_log:
        raise DataError(
            f"Where {request_id!r} was answered is not known: serving.prediction_log names no folder. Set it to the "
            f"service's folder, or ask about a version: {settings.command('why', 'NAME', 'VERSION')}"
        )
    folder = settings.path(settings.serving.prediction_log)
    records = PredictionLog(folder).of_request("predictions", request_id)
    if not records:
        raise DataError(
            f"The prediction log at {folder} has no request {request_id!r}. The id of a request is in the header "
            "X-Request-Id of its answer; a service writes it to the log up to 5 seconds later. "
            f"For a version: {settings.command('why', 'NAME', 'VERSION')}"
        )
    seen = [record for record in records if record["role"] != "mirror"] or records
    return [(_link(settings, record, len(records) - len(seen)), _subject(record)) for record in seen]


def _subject(record: dict[str, Any]) -> Subject:
    return Subject(
        record["model"] or "",
        record["version"] or 0,
        run_id=record["run_id"] or "",
        digest=record["model_digest"] or "",
        at=record["time"],
    )


def _link(settings: Settings, record: dict[str, Any], mirrored: int) -> Link:
    rows, predictions = _loaded(record["request"]), _loaded(record["predictions"])
    first = rows[0] if isinstance(rows, list) and rows else rows
    facts = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "role": record["role"],
        "api key": record["key"],
        "rows": len(rows) if isinstance(rows, list) else 1,
        "first row": _shown(first),
        "prediction": _shown(
            predictions[0] if isinstance(predictions, list) and predictions else predictions
        ),
        "model": f"{record['model']} version {record['version']}",
        "model digest": short(record["model_digest"] or ""),
    }
    key = settings.data.key
    if key and isinstance(first, dict) and key in first:
        facts[f"key {key}"] = mask_secrets(str(first[key]))
    if mirrored:
        facts["mirrored to"] = f"{mirrored} other version{'s' * (mirrored > 1)}"
    link = Link("prediction", f"prediction {record['request_id']}")
    link.facts = {name: value for name, value in facts.items() if value not in (None, "")}
    link.blame("unchecked", "Request and answer are as they are in the log, which has no digest of them.")
    if not (record["model_digest"] and record["run_id"]):
        link.blame(
            "missing",
            "The log has no digest or run of its model: an older service wrote it. Its version number alone may be another "
            "model's by now.",
        )
    return link


def _loaded(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _shown(value: Any) -> str:
    text = mask_secrets(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
