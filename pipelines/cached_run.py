"""Looks the whole pipeline up in the step cache, in the first process:
an unchanged run starts no step and no MLflow."""

from typing import Any, NamedTuple

from mlops_lib.settings import Settings
from mlops_lib.step_cache import store
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.step_cache.store import Lookup
from mlops_lib.steps.contracts import EARLIER_OUTPUTS
from mlops_lib.steps.table import STEPS, Step


class Answer(NamedTuple):
    """The answer of the cache for one step."""

    step: Step
    lookup: Lookup


def look_up(settings: Settings, arguments: dict[str, Any]) -> list[Answer]:
    """The cache's answer for each step, in order, up to the first miss.

    Later steps need outputs of the step that missed, so they look themselves up when it has run.

    Args:
        settings: Resolved settings.
        arguments: Arguments of the pipeline.
    """
    answers: list[Answer] = []
    known = {name: value for name, value in arguments.items() if name not in EARLIER_OUTPUTS}
    fingerprint = ""
    for step in STEPS:
        if step.only_if and known.get(step.only_if) is False:
            continue
        mode = StepCacheMode(lookup=True)
        _, found = store.lookup(settings, step, step.given(known), mode, fingerprint, restore=False)
        answers.append(Answer(step, found))
        if found.outputs is None:
            break
        results = found.outputs.model_dump()
        fingerprint = results.get("fingerprint", fingerprint)
        # The run of a cached step is another run; this run has none yet.
        known |= {
            name: value for name, value in results.items() if name not in ("parent_run_id", *step.arguments)
        }
    return answers
