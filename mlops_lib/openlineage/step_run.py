"""Reports one run of a step: START, and COMPLETE, FAIL or ABORT, with inputs and outputs."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from mlops_lib import __version__
from mlops_lib.openlineage.datasets import dataset, quality, statistics
from mlops_lib.openlineage.facets import PRODUCER, facet
from mlops_lib.openlineage.receiver import Receiver
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.steps import events
from mlops_lib.steps.contracts import Parameters
from mlops_lib.steps.settings import with_parameters
from mlops_lib.steps.table import Step

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
#: Longest error message in an event.
MAX_MESSAGE_CHARS = 10_000


@contextmanager
def reported(
    settings: Settings, step: Step, given: Parameters
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Report a step that runs in the block, if ``pipeline.openlineage_url`` is set.

    Yields a function to call with the step's outputs.
    """
    if not (url := settings.pipeline.openlineage_url):
        yield lambda outputs: None
        return
    key = settings.secrets.openlineage_api_key
    warned = events.run_folder(settings, given.parent_run_id) / "openlineage-warned"
    receiver = Receiver(url, key.get_secret_value() if key else "", warned)
    run, results = str(uuid.uuid4()), dict[str, Any]()
    began = _now()

    def report(kind: str, error: BaseException | None = None) -> None:
        try:
            receiver.send(_event(settings, step, given, run, began, kind, results, error))
        except Exception as failure:  # no error of ours may end the step
            receiver.warn(f"{type(failure).__name__}: {failure}")

    report("START")
    try:
        yield results.update
        report("COMPLETE")
    except BaseException as error:
        report("ABORT" if isinstance(error, KeyboardInterrupt) else "FAIL", error)
        raise
    finally:
        receiver.close()


def _event(
    settings: Settings, step: Step, given: Parameters, run: str, began: str, kind: str,
    results: Mapping[str, Any], error: BaseException | None,
) -> dict[str, Any]:  # fmt: skip
    settings = with_parameters(settings, given)
    namespace, pipeline = settings.mlflow.experiment, settings.pipeline.name
    values = {**given.model_dump(), **results}
    outputs = [dataset(name, settings, values) for name in step.lineage_outputs] if kind == "COMPLETE" else []
    if outputs and (counted := statistics(results)):
        outputs[0]["outputFacets"] = counted
    facets = {
        "nominalTime": facet("NominalTime", nominalStartTime=began),
        "processing_engine": facet("ProcessingEngine", name="mlops-lib", version=__version__),
    }
    if parent := _uuid(given.parent_run_id):
        job = {"namespace": namespace, "name": pipeline}
        facets["parent"] = facet("Parent", run={"runId": parent}, job=job)
    if error:
        message = mask(str(error) or type(error).__name__)[:MAX_MESSAGE_CHARS]
        facets["errorMessage"] = facet("ErrorMessage", message=message, programmingLanguage="python")
    kinds = facet("JobType", processingType="BATCH", integration="MLOPS", jobType="TASK")
    return {
        "eventType": kind,
        "eventTime": _now(),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": {"runId": run, "facets": facets},
        "job": {"namespace": namespace, "name": f"{pipeline}.{step.name}", "facets": {"jobType": kinds}},
        "inputs": [
            {**dataset(name, settings, values), "inputFacets": quality(name, settings, values)}
            for name in step.lineage_inputs
        ],
        "outputs": outputs,
    }


def _uuid(run_id: str) -> str:
    """An MLflow run's id in the form of a UUID, which it has the digits of; "" for another."""
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
