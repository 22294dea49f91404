"""Register the model of a run that passed the gate."""

from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_lib.errors import RegistryError
from mlops_lib.registry import signing
from mlops_lib.registry.promotion import Registry
from mlops_lib.registry.version_facts import METRIC_TAG, SCORE_TAG
from mlops_lib.registry.versions import ModelVersion
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import RunData

#: On a run: the gate's verdict, "passed" or "refused". Evaluation writes it.
GATE_TAG = "mlops.gate"
#: On a run and on its version: the version that the model was compared with, as of `champion_tag`.
CHAMPION_TAG = "mlops.champion"


def champion_tag(version: int, run_id: str) -> str:
    """A version and its run; numbers start again when a model is deleted and made anew.
    Without a version "none"."""
    return f"{version} {run_id}" if version else "none"


def register_run(settings: Settings, run_id: str, name: str = "") -> ModelVersion:
    """Register the model of a run that passed the gate, and move it to Staging.

    The call can be repeated: a run has one version of a name, an unfinished registration is finished, and a
    version that is in Production by now stays there.

    Args:
        settings: The `model` and `evaluation` sections are read.
        run_id: Run of the model.
        name: Name in the registry; empty: ``model.name``.

    Raises:
        RegistryError: The run was not evaluated, the gate refused it or decided on another metric, or the registry
            cannot be reached. A version that this call made is deleted then; if that fails too, the next call finishes it.
    """
    registry = Registry(settings)
    run = registry.run(run_id)
    if (verdict := run.data.tags.get(GATE_TAG)) != "passed":
        raise RegistryError(
            f"Run {run_id} has not passed the gate (verdict: {verdict or 'none, it was not evaluated'}), so its "
            "model is not registered. Evaluate it with 03_evaluate; the gate's threshold is in evaluation."
        )
    metric = settings.evaluation.metric
    _require_score(settings, run_id, run.data)
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("mlops")}
    tags |= {METRIC_TAG: metric, SCORE_TAG: repr(run.data.metrics[f"test.{metric}"])}
    name = name or settings.model.name
    if before := registry.of_run(name, run_id):
        registry.describe(before, tags)
        if before.stage == "Production":
            return before
    version = before or registry.register(name, run_id, tags)
    try:
        if settings.secrets.signing_key and signing.SIGNATURE_TAG not in version.tags:
            signing.sign(settings, version)
        return registry.promote(name, version.version, "Staging")
    except BaseException:
        if not before:
            with suppress(Exception):  # the first error matters
                registry.delete(version)
        raise


def _require_score(settings: Settings, run_id: str, data: "RunData") -> None:
    """Raise RegistryError unless the gate decided on the metric of the settings, whose score the version gets."""
    metric = settings.evaluation.metric
    judged = data.tags.get(METRIC_TAG, metric)
    if judged == metric and f"test.{metric}" in data.metrics:
        return
    was = "another metric" if judged == metric else judged
    raise RegistryError(
        f"The gate let run {run_id} pass by {was}, and evaluation.metric is {metric} now. Set it back, or evaluate the run "
        f"again with: {settings.command('evaluate', '--run-id', run_id)}"
    )
