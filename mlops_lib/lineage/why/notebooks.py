"""The executed notebooks behind a model: of the pipeline run that trained it,
and of runs that reused the training."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_lib.lineage.why import stored
from mlops_lib.lineage.why.link import Link
from mlops_lib.steps.record import FOLDER, RECORD_DIGEST_TAG
from mlops_lib.steps.table import STEPS
from mlops_lib.tracking import PARENT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

#: Pipeline runs that are looked through.
MAX_RUNS = 20


def notebooks_link(client: "MlflowClient", run: "Run", registered: bool) -> Link:
    """The executed notebook of each step.

    Args:
        run: The run that trained the model.
        registered: Whether the model became a version: then 04_register ran too.
    """
    link = Link("notebooks", "executed notebooks")
    pipelines = list(_pipeline_runs(client, run))
    if not pipelines:
        link.blame(
            "missing", "The model was trained outside a pipeline run, which would have kept its notebooks."
        )
        return link
    for step in STEPS:
        if step.only_if and not registered:
            continue
        tag = f"{RECORD_DIGEST_TAG}.{step.notebook}"
        found = [one for one in pipelines if tag in one.data.tags] or _of_same_data(
            client, pipelines[0], step.notebook, tag
        )
        for one in found or pipelines[:1]:
            path = f"{FOLDER}/{step.notebook}.ipynb"
            notebook = Link("notebook", f"{step.notebook}.ipynb of run {one.info.run_id}")
            stated = {f"The run's tag {tag}": one.data.tags.get(tag, "")}
            stored.check(client, one.info.run_id, path, stated, notebook)
            link.links.append(notebook)
    return link


def _pipeline_runs(client: "MlflowClient", run: "Run") -> Iterator["Run"]:
    """The parent of a training, and later pipeline runs that took the training from the step cache."""
    parent = run.data.tags.get(PARENT_TAG, "")
    if parent and (found := stored.run_of(client, parent)):
        yield found
    trains = next(step for step in STEPS if step.trains)
    query = f"tags.`{trains.notebook}.run_id` = '{run.info.run_id}'"
    for other in client.search_runs([run.info.experiment_id], query, max_results=MAX_RUNS):
        if other.info.run_id != parent:
            yield other


def _of_same_data(client: "MlflowClient", run: "Run", notebook: str, tag: str) -> list["Run"]:
    """The newest run that executed a step whose result this run took from the step cache:
    it left the same dataset."""
    output = f"{notebook}.fingerprint"
    if not (fingerprint := run.data.tags.get(output)):
        return []
    found = client.search_runs(
        [run.info.experiment_id], f"tags.`{output}` = '{fingerprint}'", max_results=MAX_RUNS
    )
    return [one for one in found if tag in one.data.tags][:1]
