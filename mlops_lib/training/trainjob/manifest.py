"""The TrainJob of a training, by trainer.kubeflow.org/v1alpha1 as of Kubeflow Trainer 2.3."""

from typing import Any

from mlops_lib.redact import password_in
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import worker

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
#: Name of the replicated job, and of the container in it, in Trainer's own torch runtime.
NODE = "node"
#: Artifact folder of the run for the workers' plan and weights.
ARTIFACTS = "workers"


def manifest(config: Settings, run_id: str, name: str) -> dict[str, Any]:
    """The TrainJob.

    Args:
        config: The `train`, `cluster`, `pipeline` and `mlflow` sections are read.
        run_id: MLflow run of the training.
        name: Name of the job.
    """
    resources = {"cpu": f"{config.cluster.cpu:g}", "memory": config.cluster.memory}
    if config.cluster.gpus:
        resources[config.cluster.gpu_type] = str(config.cluster.gpus)
    spec: dict[str, Any] = {
        "runtimeRef": {"name": config.cluster.training_runtime},
        "trainer": {
            "image": config.pipeline.image,
            "command": [
                "python", "-m", "torch.distributed.run", "-m", worker.__name__, f"runs:/{run_id}/{ARTIFACTS}",
            ],
            "env": _environment(config, run_id),
            "numNodes": config.train.nodes,
            "numProcPerNode": config.train.processes,
            "resourcesPerNode": {"requests": resources, "limits": resources},
        },
    }  # fmt: skip
    if pod := _pod(config):
        template = {
            "spec": {"replicatedJobs": [{"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}]}
        }
        spec["runtimePatches"] = [
            {"manager": "mlops.example.com/train", "trainingRuntimeSpec": {"template": template}}
        ]
    metadata = {"name": name, "labels": {"mlops.run": run_id}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _environment(config: Settings, run_id: str) -> list[dict[str, Any]]:
    """Variables of the container. A variable that cluster.secret_keys lists comes from the Secret alone."""
    plain = {"MLFLOW_EXPERIMENT_NAME": config.mlflow.experiment, "MLFLOW_RUN_ID": run_id}
    if not password_in(config.mlflow.tracking_uri):  # an address with a password comes from the Secret
        plain["MLFLOW_TRACKING_URI"] = tracking_uri(config)
    secrets = config.cluster.secret_keys if config.cluster.secret else ()
    # Kubernetes refuses a name that comes twice.
    environment: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in plain.items() if name not in secrets
    ]
    for key in secrets:
        reference = {"name": config.cluster.secret, "key": key, "optional": True}
        environment.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    return environment


def _pod(config: Settings) -> dict[str, Any]:
    """Changes to the runtime's pods: volume, node labels and service account."""
    chosen = config.cluster
    pod: dict[str, Any] = {}
    if chosen.volume_claim:
        pod["volumes"] = [{"name": "mlops", "persistentVolumeClaim": {"claimName": chosen.volume_claim}}]
        mount = {"name": "mlops", "mountPath": chosen.volume_path}
        pod["containers"] = [{"name": NODE, "volumeMounts": [mount]}]
    if chosen.node_selector:
        pod["nodeSelector"] = dict(chosen.node_selector)
    if chosen.service_account:
        pod["serviceAccountName"] = chosen.service_account
    return pod
