"""The outputs of a local pipeline run: collected from the events of its steps and logged to MLflow once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_lib import tracking
from mlops_lib.errors import MlopsError
from mlops_lib.steps import events
from mlops_lib.steps.contracts import Outputs
from mlops_lib.steps.table import STEPS

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T", bound=Outputs)


@dataclass(frozen=True)
class PipelineResult:
    """The outputs of a pipeline run.

    Args:
        parent_run_id: The MLflow run that has the record. For a cached run,
            the run that the last step ran in.
        outputs: Step name -> outputs; a step that was skipped has none.
    """

    parent_run_id: str
    outputs: dict[str, Outputs]

    def of(self, kind: type[T]) -> T | None:
        """The outputs of one contract; None when its step was skipped."""
        return next((outputs for outputs in self.outputs.values() if isinstance(outputs, kind)), None)


def collect(run_id: str, folder: Path, log: Path) -> PipelineResult:
    """The outputs of all steps of a run.

    Args:
        run_id: The MLflow run.
        folder: The folder of the run.
        log: The file that has the output of the steps, for the error.

    Raises:
        MlopsError: A step has no outputs although kfp.local reported success.
    """
    finished = events.finished(folder)
    values: dict[str, Any] = {}
    outputs: dict[str, Outputs] = {}
    for step in STEPS:
        if step.only_if and values.get(step.only_if) is False:
            continue
        if step.name not in finished:
            raise MlopsError(f"{step.name} ended without its outputs.\nWhat the steps printed: {log}")
        values |= finished[step.name].outputs
        outputs[step.name] = step.outputs.model_validate(finished[step.name].outputs)
    return PipelineResult(run_id, outputs)


def log(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """Log the outputs of the finished steps, each once, also when the run is resumed."""
    run = client.get_run(run_id).data
    logged = {**run.tags, **run.metrics}
    finished = events.finished(folder)
    for step in STEPS:
        if step.name in finished:
            outputs = {
                name: value
                for name, value in finished[step.name].outputs.items()
                if logged.get(f"{step.notebook}.{name}") not in (value, str(value))
            }
            tracking.log_outputs(run_id, step.notebook, outputs)
