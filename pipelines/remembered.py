"""A pipeline run that has nothing to do: every step is remembered, so no process and no MLflow is started."""

from typing import Any

from mlops_lib.settings import Settings
from mlops_lib.step_cache.store import Recall, consult
from mlops_lib.steps.contracts import CONTRACTS

#: Which arguments of the pipeline each step takes; outputs of earlier steps come on top.
ARGUMENTS = {name: set(contract.parameters.model_fields) for name, contract in CONTRACTS.items()}


def recall(settings: Settings, arguments: dict[str, Any]) -> dict[str, Recall] | None:
    """What memory says of each step, in order; None when a step must run.

    Args:
        settings: Resolved settings.
        arguments: Arguments of `pipelines.training.training`.
    """
    found: dict[str, Recall] = {}
    known = {name: value for name, value in arguments.items() if name != "parent_run_id"}
    fingerprint = ""
    for notebook, contract in CONTRACTS.items():
        if known.get("passed") is False:
            break
        given = {name: value for name, value in known.items() if name in ARGUMENTS[notebook]}
        parameters = contract.parameters.model_validate(given)
        _, recall = consult(settings, notebook, parameters, "use", fingerprint, restore=False)
        if recall.outputs is None:
            return None
        found[notebook] = recall
        results = recall.outputs.model_dump()
        fingerprint = results.get("fingerprint", fingerprint)
        known |= {name: results[name] for name in ("run_id", "passed") if name in results}
    return found
