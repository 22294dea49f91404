"""The settings that stored rows rest on: scores of answers, and facts about rows. Under others they must be judged again.

What is computed from the rows whenever it is needed, such as a metric at ``evaluation.k``, is not among them.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

OF_EVERY_TASK = ("task", "output")
OF_TASK: Mapping[str, tuple[str, ...]] = {
    "forecast": ("seasonality",),
    "text": (
        "language", "json_schema", "judge", "judge_max_tokens", "judge_temperature", "embeddings", "rubrics",
        "simulated_user",
    ),
}  # fmt: skip
#: Characters of a value; of a longer one its digest is kept.
MAX_CHARS = 60
DIGEST = "sha256 "


def scored_with(settings: "Settings") -> dict[str, str]:
    """Name of each such setting -> its value as JSON, or the digest of a long one."""
    chosen = settings.evaluation.model_dump(mode="json")
    # Of a section without its defaults: a later release may have more of them.
    given = settings.evaluation.model_dump(mode="json", exclude_defaults=True)
    names = (*OF_EVERY_TASK, *OF_TASK.get(settings.evaluation.task, ()))
    values = {name: given.get(name, {}) if isinstance(chosen[name], dict) else chosen[name] for name in names}
    return {
        name: _shown(json.dumps(value, ensure_ascii=False, sort_keys=True)) for name, value in values.items()
    }


def changed(then: Mapping[str, str], settings: "Settings") -> str:
    """The settings that are others now, such as "evaluation.seasonality was 1 and is 7 now"; "" if none is.

    Args:
        then: As of `scored_with`; settings that it lacks are not compared.
    """
    now = scored_with(settings)
    differing = [name for name in now if name in then and then[name] != now[name]]
    return ", ".join(_difference(name, then[name], now[name]) for name in differing)


def _difference(name: str, then: str, now: str) -> str:
    if DIGEST in (then[: len(DIGEST)], now[: len(DIGEST)]):
        return f"evaluation.{name} changed"
    return f"evaluation.{name} was {then} and is {now} now"


def _shown(value: str) -> str:
    return value if len(value) <= MAX_CHARS else f"{DIGEST}{hashlib.sha256(value.encode()).hexdigest()[:12]}"
