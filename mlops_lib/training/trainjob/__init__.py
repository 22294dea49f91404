"""Training on the nodes of a Kubernetes cluster, as a TrainJob of Kubeflow Trainer v2.

The nodes and the step share no disk. So plan and weights travel as artifacts of the MLflow run, under
``workers``.
"""

from pathlib import Path

from mlops_lib.errors import TrainingError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import worker
from mlops_lib.training.trainjob.job import Job
from mlops_lib.training.trainjob.manifest import ARTIFACTS, manifest

__all__ = ["manifest", "run"]


def run(config: Settings, run_id: str, folder: Path) -> None:
    """Train by the plan in `folder` on ``train.nodes`` nodes, and put the weights into `folder`.

    Args:
        config: The `train`, `cluster`, `pipeline` and `mlflow` sections are read.
        run_id: MLflow run of the training.
        folder: Plan, initial weights and, if the nodes cannot read them elsewhere, the rows.

    Raises:
        TrainingError: The cluster cannot be reached or refuses, or the job failed.
    """
    import mlflow

    if not tracking_uri(config).startswith("http"):
        raise TrainingError(
            f"train.nodes is {config.train.nodes}, and the nodes cannot reach MLflow at {mask(tracking_uri(config))}. "
            "Set mlflow.tracking_uri to a server, http://..."
        )
    job = Job(config, f"train-{run_id[:24]}")
    mlflow.MlflowClient().log_artifacts(run_id, str(folder), ARTIFACTS)
    job.submit(manifest(config, run_id, job.name))
    print(f"TrainJob {job.namespace}/{job.name}: {config.train.nodes} nodes", flush=True)
    try:
        failed = job.wait()
    except BaseException:
        job.delete()  # nobody waits for the job any more, and its nodes cost money
        raise
    if failed:
        raise TrainingError(
            f"TrainJob {job.name} failed: {mask(failed)}\nThe job is kept: kubectl -n {job.namespace} describe "
            f"trainjob {job.name}"
        )
    mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{ARTIFACTS}/{worker.WEIGHTS}", dst_path=str(folder))
    job.delete()
