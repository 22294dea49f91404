"""MLflow runs: connect, open or adopt or nest one, and say where a thing came from.

Run layout: one parent run for a pipeline run; training opens a child of it, and evaluation logs to that
same child. Executed notebooks are kept under ``notebooks/`` of the parent.
"""

import hashlib
import json
import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import __version__
from mlops_lib.errors import MlopsError
from mlops_lib.redact import masked, without_password
from mlops_lib.settings import Section, Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

# tqdm, which MLflow imports, says in every notebook that it would rather draw widgets.
warnings.filterwarnings("ignore", "IProgress not found")

# MLflow's own seven retries keep a person waiting four minutes for a server that is not there.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

#: On a parent run: the arguments that the pipeline was started with, as JSON; a resumed run starts with them again.
ARGUMENTS_TAG = "mlops.arguments"
#: Set by Kubeflow Pipelines' MLflow plugin (kfp >= 2.17).
RUN_ID_ENV = "MLFLOW_RUN_ID"
#: What boto3 and MLflow read to reach a server that asks who is there, and S3; a step needs it as its runner does.
STORE_ENV = (
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "MLFLOW_S3_ENDPOINT_URL",
)  # fmt: skip
PARENT_TAG = "mlflow.parentRunId"
STEP_TAG = "mlops.step"
#: On every step's run: the model.name that it worked for. One experiment may hold runs of several models.
MODEL_TAG = "mlops.model"


def connect(settings: Settings) -> "MlflowClient":
    """Point MLflow at the configured server and experiment; make an embedded store where there is none.

    Raises:
        MlopsError: The tracking server does not answer, or the SQLite file cannot be made.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = use_store(settings)
    client = mlflow.MlflowClient()
    try:
        experiment = client.get_experiment_by_name(settings.mlflow.experiment)
        if experiment is None:
            with made_meanwhile():
                client.create_experiment(
                    settings.mlflow.experiment, artifact_location=_artifact_location(uri)
                )
        mlflow.set_experiment(settings.mlflow.experiment)
    except MlflowException as error:
        raise MlopsError(
            f"MLflow at {masked(uri)} cannot open experiment {settings.mlflow.experiment!r}: {masked(error.message)}. "
            "Is the server up, and MLFLOW_TRACKING_URI right?"
        ) from None
    return client


@contextmanager
def made_meanwhile() -> Iterator[None]:
    """Make something in MLflow that a concurrent run may have made a moment ago: then it is there, which is all we want."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def use_store(settings: Settings) -> str:
    """Make MLflow use the configured server in this process, and return its URI.

    MLflow would also export it as MLFLOW_TRACKING_URI, which from then on would win over the config file,
    also over an edited one in a kernel that is still running.
    """
    import mlflow

    # A new store's tables are made with a line for each step, which says nothing to who waits for a run.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    uri = tracking_uri(settings)
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return uri


def _experiment_id(client: "MlflowClient", settings: Settings) -> str:
    """Id of the configured experiment, which `connect` has made sure of.

    Raises:
        MlopsError: Somebody deleted it meanwhile.
    """
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    if experiment is None:
        raise MlopsError(
            f"MLflow has no experiment {settings.mlflow.experiment!r} any more; run again to make it."
        )
    return experiment.experiment_id


def tracking_uri(settings: Settings) -> str:
    """The tracking URI, with a relative SQLite path taken from the config file's folder."""
    uri = settings.mlflow.tracking_uri
    if uri.startswith("sqlite:///"):
        file = settings.path(uri.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{file}"
    return uri if "://" in uri else settings.path(uri).as_uri()


def _artifact_location(uri: str) -> str | None:
    """Embedded stores keep artifacts beside the SQLite file; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "artifacts").as_uri()


def open_parent(settings: Settings, tags: Mapping[str, str] | None = None) -> str:
    """Id of the parent run of a pipeline: the one that the environment injects, else a new one with `tags`."""
    if injected := os.environ.get(RUN_ID_ENV):
        return injected
    client = connect(settings)
    experiment_id = _experiment_id(client, settings)
    all_tags = {**lineage(settings), **(tags or {})}
    run = client.create_run(experiment_id, run_name=settings.pipeline.name, tags=all_tags)
    return run.info.run_id


def arguments_of(settings: Settings, run_id: str) -> dict[str, Any]:
    """The arguments that a pipeline's run was started with.

    Raises:
        MlopsError: There is no such run, or it is no pipeline's.
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
    """Set a pipeline's run to RUNNING again.

    Raises:
        MlopsError: MLflow refuses: the run is deleted, say.
    """
    from mlflow.exceptions import MlflowException

    try:
        connect(settings).update_run(run_id, status="RUNNING")
    except MlflowException as error:
        raise MlopsError(f"Run {run_id} cannot be resumed: {error.message}") from None


@contextmanager
def ended(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """Give a run its final status when the block ends: see `status_after`."""
    try:
        yield
    except BaseException as error:
        end(client, run_id, error)
        raise
    end(client, run_id, None)


def end(client: "MlflowClient", run_id: str, error: BaseException | None) -> None:
    """Give a run its final status. Where an error is on its way already, MLflow being away must not hide it.

    What was killed could not end its own runs: those of its children that are still RUNNING end with it.
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
    """Give the runs nested under a run that are still RUNNING this status."""
    experiment = client.get_run(run_id).info.experiment_id
    query = f"tags.`{PARENT_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([experiment], query):
        client.set_terminated(child.info.run_id, status)


def status_after(error: BaseException | None) -> str:
    """The status of a run that ended so: FINISHED, KILLED on Ctrl-C, FAILED on any other error."""
    if error is None:
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


@contextmanager
def child_run(settings: Settings, step: str, parent_run_id: str, tags: Mapping[str, str]) -> Iterator["Run"]:
    """Make a run for one step, nested under `parent_run_id` (a top-level run when that is empty)."""
    client = connect(settings)
    nesting = {PARENT_TAG: parent_run_id} if parent_run_id else {}
    all_tags = {**lineage(settings), **nesting, STEP_TAG: step, MODEL_TAG: settings.model.name, **tags}
    # A parent that Kubeflow injected may live in an experiment of its own; its children belong beside it.
    experiment_id = (
        client.get_run(parent_run_id).info.experiment_id
        if parent_run_id
        else _experiment_id(client, settings)
    )
    run = client.create_run(experiment_id, run_name=step, tags=all_tags)
    with ended(client, run.info.run_id):
        yield run


def check_artifacts(run: "Run") -> None:
    """Ask the object store that keeps a run's artifacts for them: before an hour of training, not after it.

    Raises:
        MlopsError: It does not answer or refuses; says where keys and address come from.
    """
    import mlflow

    uri = masked(run.info.artifact_uri or "")
    if not uri.startswith(("s3://", "mlflow-artifacts:")):
        return
    try:
        mlflow.MlflowClient().list_artifacts(run.info.run_id)
    except ModuleNotFoundError as error:
        raise MlopsError(
            f"Artifacts are kept at {uri}: {error}. Install it with: pip install 'mlops-lib[s3]'"
        ) from None
    except Exception as error:  # boto3's errors have no class that could be named without boto3
        whose = "the MLflow server's own" if uri.startswith("mlflow-artifacts:") else "this process's"
        raise MlopsError(
            f"Artifacts are kept at {uri}, which cannot be used: {masked(str(error))[:500].rstrip('.')}. Look at {whose} "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL, and whether the bucket is there."
        ) from None


def lineage(settings: Settings) -> dict[str, str]:
    """Tags that tie a run to code, configuration and image. Empty ones are left out."""
    tags = {
        "mlops.version": __version__,
        "mlops.config_digest": settings.digest(),
        "mlops.image": os.environ.get("MLOPS_IMAGE", ""),
        "mlops.git_commit": _git_commit(settings.root),
    }
    return {key: value for key, value in tags.items() if value}


def _git_commit(folder: Path) -> str:
    """The commit of `folder`, with ``+changes`` when the tree differs from it; "" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("GIT_COMMIT", "")
    return result.stdout.strip()


def sha256(file: Path) -> str:
    """Hex digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def latest_run(settings: Settings, step: str, tags: Mapping[str, str] | None = None) -> str:
    """Id of the newest finished run of `step` for ``model.name`` that has `tags`.

    Raises:
        MlopsError: There is none; says which notebook makes one.
    """
    client = connect(settings)
    wanted = {STEP_TAG: step, MODEL_TAG: settings.model.name, **(tags or {})}
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    runs = client.search_runs(
        [_experiment_id(client, settings)], f"{query} and attributes.status = 'FINISHED'", max_results=1
    )
    if not runs:
        raise MlopsError(
            f"Experiment {settings.mlflow.experiment!r} has no finished run with {wanted}. "
            "Run the notebook before this one first, or give run_id."
        )
    return runs[0].info.run_id


def log_params(run_id: str, sections: Mapping[str, Section]) -> None:
    """Log every setting of some sections as ``section.key``; nested parameters as one value each."""
    import mlflow
    from mlflow.entities import Param

    params = [
        Param(f"{section}.{key}", str(value))
        for section, settings in sections.items()
        for key, value in settings.model_dump().items()
    ]
    mlflow.MlflowClient().log_batch(run_id, params=params)


def history(run_id: str, metrics: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(step, value) pairs of each metric of a run, in order; an unknown metric has none."""
    import mlflow

    client = mlflow.MlflowClient()
    return {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run_id, name)) for name in metrics
    }


def log_outputs(run_id: str, step: str, outputs: Mapping[str, bool | int | float | str]) -> None:
    """What a step handed on, on the parent run: numbers as metrics, text and verdicts as tags."""
    import mlflow

    client = mlflow.MlflowClient()
    for name, value in outputs.items():
        if isinstance(value, bool | str):
            client.set_tag(run_id, f"{step}.{name}", value)
        else:
            client.log_metric(run_id, f"{step}.{name}", value)


def keep_text(settings: Settings, run_id: str, text: str, path: str) -> str:
    """Keep a text as an artifact of a run (empty: in the work folder), and say where a person finds it."""
    if not run_id:
        file = settings.path(settings.pipeline.work_dir) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return str(file)
    client = connect(settings)
    client.log_text(run_id, text, path)
    return artifact_location(client.get_run(run_id), path)


def log_dataset(
    settings: Settings, run_id: str, name: str, context: str, digest: str, source: str, profile: str
) -> None:
    """Log a dataset as an input of a run.

    Args:
        settings: Where MLflow is.
        run_id: The run; empty: nothing is logged.
        name: Name of the dataset.
        context: What the run used it for: train, validation, test.
        digest: Fingerprint; MLflow keeps the first 36 characters.
        source: Where it came from.
        profile: Its size, as JSON.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not run_id:
        return
    dataset = Dataset(name, digest[:36], "local", json.dumps({"uri": masked(source)}), profile=profile)
    tag = InputTag("mlflow.data.context", context)
    connect(settings).log_inputs(run_id, [DatasetInput(dataset, [tag])])


def artifact_location(run: "Run", path: str) -> str:
    """Where a person opens an artifact: a file of an embedded store, else its URI."""
    uri = f"{run.info.artifact_uri}/{path}"
    return uri.removeprefix("file://") if uri.startswith("file:///") else uri


def describe_run(settings: Settings, run_id: str) -> str:
    """Where a person finds a run: a URL of the MLflow UI, or how to start one for an embedded store."""
    uri = tracking_uri(settings)
    if uri.startswith("http"):
        experiment_id = connect(settings).get_run(run_id).info.experiment_id
        return f"{without_password(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    return f"run {run_id} (see it with: mlops ui)"
