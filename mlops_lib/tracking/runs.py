"""The life of a run: opened, adopted, nested, found again, ended with the right status.

A pipeline run has one parent run. Training opens a child of it, and evaluation logs to the same child.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import MlopsError
from mlops_lib.settings import Settings
from mlops_lib.tracking.lineage import lineage
from mlops_lib.tracking.store import connect, experiment_id

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

#: On a parent run: the pipeline's arguments as JSON. A resumed run starts with the same arguments.
ARGUMENTS_TAG = "mlops.arguments"
#: Set by Kubeflow Pipelines' MLflow plugin (kfp >= 2.17).
RUN_ID_ENV = "MLFLOW_RUN_ID"
PARENT_TAG = "mlflow.parentRunId"
STEP_TAG = "mlops.step"
#: On a training run: address of the version, or the file, whose weights it started from.
WARM_START_TAG = "mlops.warm_start"
#: On the run of each step: model.name, because one experiment may hold runs of several models.
MODEL_TAG = "mlops.model"


def open_parent(settings: Settings, tags: Mapping[str, str] | None = None) -> str:
    """Id of the parent run of a pipeline: the run in MLFLOW_RUN_ID, else a new run with `tags`."""
    if injected := os.environ.get(RUN_ID_ENV):
        return injected
    client = connect(settings)
    all_tags = {**lineage(settings), **(tags or {})}
    run = client.create_run(experiment_id(client, settings), run_name=settings.pipeline.name, tags=all_tags)
    return run.info.run_id


def arguments_of(settings: Settings, run_id: str) -> dict[str, Any]:
    """The arguments that a pipeline run was started with.

    Raises:
        MlopsError: The run does not exist, or `mlops run` did not start it.
    """
    from mlflow.exceptions import MlflowException

    try:
        arguments = connect(settings).get_run(run_id).data.tags.get(ARGUMENTS_TAG)
    except MlflowException as error:
        raise MlopsError(f"Run {run_id} cannot be resumed: {error.message}") from None
    if arguments is None:
        raise MlopsError(f"Run {run_id} was not started by `mlops run`, so it cannot be resumed.")
    return json.loads(arguments)


def reopen_parent(settings: Settings, run_id: str) -> None:
    """Set the status of a pipeline run to RUNNING again.

    Raises:
        MlopsError: MLflow refuses, for example because the run was deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        connect(settings).update_run(run_id, status="RUNNING")
    except MlflowException as error:
        raise MlopsError(f"Run {run_id} cannot be resumed: {error.message}") from None


@contextmanager
def child_run(settings: Settings, step: str, parent_run_id: str, tags: Mapping[str, str]) -> Iterator["Run"]:
    """Open a run for one step below `parent_run_id`, and end it with the block.

    Args:
        settings: Resolved settings.
        step: Name of the run.
        parent_run_id: The parent; empty: the run has none.
        tags: Tags beside lineage, step and model.
    """
    client = connect(settings)
    nesting = {PARENT_TAG: parent_run_id} if parent_run_id else {}
    all_tags = {**lineage(settings), **nesting, STEP_TAG: step, MODEL_TAG: settings.model.name, **tags}
    # A parent that Kubeflow injects may be in another experiment. Its children go there too.
    experiment = (
        client.get_run(parent_run_id).info.experiment_id if parent_run_id else experiment_id(client, settings)
    )
    run = client.create_run(experiment, run_name=step, tags=all_tags)
    with ended(client, run.info.run_id):
        yield run


@contextmanager
def ended(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """End a run with the block: FINISHED, or the status of the block's error (see `status_after`)."""
    try:
        yield
    except BaseException as error:
        end(client, run_id, error)
        raise
    end(client, run_id, None)


def end(client: "MlflowClient", run_id: str, error: BaseException | None) -> None:
    """Set the final status of a run.

    After an error, children that are still RUNNING get the status too: a killed process cannot end its runs.
    If MLflow does not answer either, its error is dropped in favour of the first one.
    """
    from mlflow.exceptions import MlflowException

    status = status_after(error)
    try:
        client.set_terminated(run_id, status)
        if error is not None:
            end_children(client, run_id, status)
    except MlflowException:
        if error is None:
            raise


def end_children(client: "MlflowClient", run_id: str, status: str) -> None:
    """Set the final status of the children of a run that are still RUNNING."""
    experiment = client.get_run(run_id).info.experiment_id
    query = f"tags.`{PARENT_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([experiment], query):
        client.set_terminated(child.info.run_id, status)


def status_after(error: BaseException | None) -> str:
    """FINISHED without an error, KILLED after Ctrl-C, FAILED after any other error."""
    if error is None:
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


def latest_run(settings: Settings, step: str, tags: Mapping[str, str] | None = None) -> str:
    """Id of the newest finished run of `step` for ``model.name`` that has `tags`.

    Raises:
        MlopsError: There is no such run.
    """
    client = connect(settings)
    wanted = {STEP_TAG: step, MODEL_TAG: settings.model.name, **(tags or {})}
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    runs = client.search_runs(
        [experiment_id(client, settings)], f"{query} and attributes.status = 'FINISHED'", max_results=1
    )
    if not runs:
        raise MlopsError(
            f"Experiment {settings.mlflow.experiment!r} has no finished run with {wanted}. "
            "Run the notebook before this one first, or give run_id."
        )
    return runs[0].info.run_id
