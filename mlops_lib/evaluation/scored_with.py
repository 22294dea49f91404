"""The settings that stored rows rest on: scores of answers, and facts about rows. Under others they must be judged again.

What is computed from the rows whenever it is needed, such as a metric at ``evaluation.k``, is not among them.
All such settings are stored; those that count are those behind the metrics that the gate asks for.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import PluginError
from mlops_lib.files import sha256

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

OF_EVERY_TASK = ("task", "output")
OF_TASK: Mapping[str, tuple[str, ...]] = {
    "forecast": ("seasonality",),
    "text": ("simulated_user",),
}
#: Of text, behind some metrics; beside them rubrics, ``json_schema`` and ``llm.prices``.
OF_SOME_METRICS = ("language", "judge", "judge_max_tokens", "judge_temperature", "embeddings")
#: Of text, with the path of a metric of the user's own appended: its file.
CODE = "the code of "
#: Characters of a value; of a longer one its digest is kept.
MAX_CHARS = 60
DIGEST = "sha256 "


def scored_with(settings: "Settings") -> dict[str, str]:
    """Name of each such setting of ``evaluation``, ``llm.prices``, or ``the code of`` a metric -> its value as JSON,
    or the digest of a long one."""
    chosen = settings.evaluation.model_dump(mode="json")
    # Of a section without its defaults: a later release may have more of them.
    given = settings.evaluation.model_dump(mode="json", exclude_defaults=True)
    is_text = settings.evaluation.task == "text"
    names = (*_always(settings), *(OF_SOME_METRICS if is_text else ()))
    values = {name: given.get(name, {}) if isinstance(chosen[name], dict) else chosen[name] for name in names}
    if is_text:
        values |= {f"rubrics.{name}": rubric for name, rubric in given.get("rubrics", {}).items()}
        values |= {"json_schema": json_schema(settings), "llm.prices": settings.llm.prices}
        values |= _code(settings)
    return {
        name: _shown(json.dumps(value, ensure_ascii=False, sort_keys=True)) for name, value in values.items()
    }


def changed(then: Mapping[str, str], settings: "Settings") -> str:
    """The settings behind the gate's metrics that are others now, such as "evaluation.seasonality was 1 and is 7 now";
    "" if none is.

    Args:
        then: As of `scored_with`; settings that it lacks are not compared.
    """
    now, behind = scored_with(settings), _behind_the_gate(settings)
    differing = [name for name in now if name in behind and name in then and then[name] != now[name]]
    return ", ".join(_difference(name, then[name], now[name]) for name in differing)


def json_schema(settings: "Settings") -> Any:
    """The content of the file ``evaluation.json_schema``; its name if it cannot be read, "" without one."""
    if not (name := settings.evaluation.json_schema):
        return ""
    try:
        return json.loads(settings.path(name).read_text("utf-8"))
    except (OSError, ValueError):  # the metric reports it
        return name


def _code(settings: "Settings") -> dict[str, str]:
    """The digest of the file of each metric of the user's own: it has scored the stored rows of text."""
    from mlops_lib.evaluation.metrics.interface import chosen

    found = {}
    for metric in filter(plugins.is_path, chosen("text", settings)):
        with suppress(PluginError, OSError, TypeError):  # the task reports it
            file = inspect.getsourcefile(plugins.load("metric", metric))
            found[f"{CODE}{metric}"] = sha256(Path(file or ""))
    return found


def _always(settings: "Settings") -> tuple[str, ...]:
    """Settings behind the rows themselves."""
    return *OF_EVERY_TASK, *OF_TASK.get(settings.evaluation.task, ())


def _behind_the_gate(settings: "Settings") -> set[str]:
    """Settings behind the rows, and the scores of them that the gate asks for."""
    chosen, gate = settings.evaluation, settings.evaluation.gate
    names = set(_always(settings))
    if chosen.task != "text":
        return names
    from mlops_lib.evaluation.metrics.answers import settings_behind

    for metric in {chosen.metric, *gate.thresholds, *gate.slice_thresholds, *gate.margins}:
        names.add(f"{CODE}{metric}")
        behind = settings_behind(metric, settings)
        names |= set(scored_with(settings) if behind is None else behind)
    return names | ({"llm.prices"} if gate.max_cost_usd else set())


def _difference(name: str, then: str, now: str) -> str:
    shown = name if name.startswith(("llm.", CODE)) else f"evaluation.{name}"
    if DIGEST in (then[: len(DIGEST)], now[: len(DIGEST)]):
        return f"{shown} changed"
    return f"{shown} was {then} and is {now} now"


def _shown(value: str) -> str:
    return value if len(value) <= MAX_CHARS else f"{DIGEST}{hashlib.sha256(value.encode()).hexdigest()[:12]}"
