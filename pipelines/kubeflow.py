"""The pipeline on a Kubeflow cluster: compile, upload, run, and wait for the end."""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_lib.errors import MlopsError
from mlops_lib.polling import poll
from mlops_lib.settings import Settings
from pipelines.cluster_options import finisher
from pipelines.training import make

POLL_S = 5.0
#: Failed polls in a row before the wait ends. Two minutes: enough to restart a load
#: balancer or renew a token.
MAX_POLL_FAILURES = 24
#: Final states of a run (KFP v2 API, V2beta1RuntimeState).
SUCCEEDED, ENDED = "SUCCEEDED", ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


@dataclass(frozen=True)
class ClusterRun:
    """A run, or with `cron` a recurring run, on a cluster, and its address in Kubeflow's UI."""

    id: str
    url: str
    state: str


#: Makes a pipeline from the settings and a function that gives each task its cluster options.
Maker = Callable[[Settings, Callable[[Any, bool], None]], Any]


def compile_pipeline(settings: Settings, output: Path, use_cache: bool = True, maker: Maker = make) -> None:
    """Write the pipeline, with the options of the `cluster` section, as YAML.

    Args:
        settings: Resolved settings.
        output: File to write.
        use_cache: Let the steps use the step cache.
        maker: Makes the pipeline: the training, or another.
    """
    from kfp.compiler import Compiler

    Compiler().compile(maker(settings, finisher(settings, use_cache)), str(output))


def run_on_cluster(
    settings: Settings,
    arguments: dict[str, Any],
    host: str,
    *,
    token: str = "",
    cron: str = "",
    use_cache: bool = True,
    poll_s: float = POLL_S,
    on_change: Callable[[str, str], None] = lambda task, state: None,
    maker: Maker = make,
    name: str = "",
) -> ClusterRun:
    """Upload a new version of the pipeline and run it.

    Args:
        settings: Resolved settings.
        arguments: Arguments of `pipelines.training.training`, without `parent_run_id`.
        host: Address of the Kubeflow Pipelines API.
        token: Bearer token; "": none.
        cron: Times to run at (six fields, seconds first), instead of one run now.
        use_cache: Let the steps use the step cache.
        poll_s: Seconds between two polls of the run.
        on_change: Called with a task's name and its new state.
        maker: Makes the pipeline: the training, or another.
        name: Its name on the server; empty: ``pipeline.name``.

    Raises:
        MlopsError: The server does not answer or refuses, the run did not succeed,
            or `cron` has not six fields.
    """
    if cron and not cron.startswith("@") and len(cron.split()) != 6:
        raise MlopsError(
            f"--cron {cron!r} has {len(cron.split())} fields; Kubeflow wants six, seconds first: '0 0 3 * * *' is every "
            "night at three."
        )
    client = _client(host, token, settings.cluster.namespace)
    name = name or settings.pipeline.name
    try:
        experiment = client.create_experiment(
            settings.mlflow.experiment, namespace=settings.cluster.namespace or None
        )
        version = _upload(client, settings, use_cache, maker, name)
        job = f"{name} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        common = {
            "experiment_id": experiment.experiment_id,
            "pipeline_id": version.pipeline_id,
            "version_id": version.pipeline_version_id,
            "service_account": settings.cluster.service_account or None,
        }
        if cron:
            made = client.create_recurring_run(
                job_name=job, params=arguments, cron_expression=cron, enable_caching=False, **common
            )
            url = f"{host.rstrip('/')}/#/recurringrun/details/{made.recurring_run_id}"
            return ClusterRun(made.recurring_run_id, url, "ENABLED")
        made = client.run_pipeline(job_name=job, params=arguments, **common)
        return _wait(client, made.run_id, host, poll_s, on_change)
    except Exception as error:
        raise _explained(error, host) from None


def _client(host: str, token: str, namespace: str) -> Any:
    from kfp.client import Client

    try:
        return Client(host=host, existing_token=token or None, namespace=namespace or "kubeflow")
    except Exception as error:
        raise _explained(error, host) from None


def _upload(client: Any, settings: Settings, use_cache: bool, maker: Maker, name: str) -> Any:
    """Upload a new version of the pipeline, and the pipeline itself if the server does not have it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compile_pipeline(settings, file, use_cache, maker)
        pipeline_id = client.get_pipeline_id(name)
        if pipeline_id is None:
            pipeline_id = client.upload_pipeline(
                str(file), name, namespace=settings.cluster.namespace or None
            ).pipeline_id
        version = f"{name} {time.time_ns()}"
        return client.upload_pipeline_version(str(file), version, pipeline_id=pipeline_id)


def _wait(
    client: Any, run_id: str, host: str, poll_s: float, on_change: Callable[[str, str], None]
) -> ClusterRun:
    """Wait for the end of a run, and report each new state of a task."""
    reported: dict[str, str] = {}  # by id, because the trials of a search have one name
    url = f"{host.rstrip('/')}/#/runs/details/{run_id}"

    def ended_run() -> Any:
        run = client.get_run(run_id)
        for task in _tasks(run):
            if task.state and reported.get(task.task_id) != task.state:
                reported[task.task_id] = task.state
                on_change(task.display_name, task.state)
        return run if run.state in ENDED else None

    try:
        run = poll(ended_run, interval_s=poll_s, max_failures=MAX_POLL_FAILURES, failure=Exception)
    except Exception as error:
        raise MlopsError(f"{_explained(error, host)} The run may go on: {url}") from None
    if run.state != SUCCEEDED:
        failed = ", ".join(task.display_name for task in _tasks(run) if task.state == "FAILED")
        reason = f": {run.error.message}" if run.error else ""
        raise MlopsError(
            f"Run {run_id} ended as {run.state}{reason}. Failed: {failed or 'no task is named'}. See {url}"
        )
    return ClusterRun(run_id, url, run.state)


def _tasks(run: Any) -> list[Any]:
    return (run.run_details and run.run_details.task_details) or []


def _explained(error: Exception, host: str) -> Exception:
    """One line for an error of the client, whose text may hold headers and a token."""
    if isinstance(error, MlopsError):
        return error
    status = getattr(error, "status", None)
    if status in (401, 403):
        return MlopsError(f"Kubeflow at {host} refuses (HTTP {status}). Give a token with KFP_TOKEN.")
    body = re.sub(r"\s+", " ", str(getattr(error, "body", "") or ""))[:300]
    what = f"HTTP {status}: {body}" if status else f"{type(error).__name__}: {str(error)[:300]}"
    hint = "" if status else " Is the address right, and does it want a token (KFP_TOKEN)?"
    return MlopsError(f"Kubeflow at {host} failed. {what}{hint}")
