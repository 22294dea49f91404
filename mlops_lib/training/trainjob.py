"""Ranks on the nodes of a Kubernetes cluster: a TrainJob of Kubeflow Trainer v2, submitted and followed.

The nodes share no disk with the step, so plan and weights travel as artifacts of the MLflow run, under ``ranks``.
Kinds and fields are those of trainer.kubeflow.org/v1alpha1, as of Kubeflow Trainer 2.3.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_lib.errors import TrainingError
from mlops_lib.redact import masked, password_in
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import worker as one

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
#: What Trainer's own torch runtime calls its replicated job, and the container in it.
NODE = "node"
#: Where the run keeps what the ranks are given and leave.
PLACE = "ranks"
POLL_S = 5.0
#: So many looks in a row may fail: an API server that is restarted must not cost a night of training.
MOST_MISSES = 24
LAST_LINES = 10
IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def run(config: Settings, run_id: str, folder: Path) -> None:
    """Train by the plan in `folder` on ``train.nodes`` nodes; leaves the weights in `folder`.

    Args:
        config: The `train`, `cluster`, `pipeline` and `mlflow` sections are read.
        run_id: MLflow run of the training.
        folder: Plan, initial weights and, where the nodes cannot read them elsewhere, the rows.

    Raises:
        TrainingError: The cluster cannot be reached or refuses, or the job failed; says why.
    """
    import mlflow

    if not tracking_uri(config).startswith("http"):
        raise TrainingError(
            f"train.nodes is {config.train.nodes}, and the nodes cannot reach MLflow at {masked(tracking_uri(config))}. "
            "Set mlflow.tracking_uri to a server, http://..."
        )
    job = _Job(config, f"train-{run_id[:24]}")
    mlflow.MlflowClient().log_artifacts(run_id, str(folder), PLACE)
    job.submit(manifest(config, run_id, job.name))
    print(f"TrainJob {job.namespace}/{job.name}: {config.train.nodes} nodes", flush=True)
    try:
        failed = job.follow()
    except BaseException:
        job.delete()  # nobody waits for it any more, and its nodes cost money
        raise
    if failed:
        raise TrainingError(
            f"TrainJob {job.name} failed: {masked(failed)}\nIt is kept: kubectl -n {job.namespace} describe trainjob "
            f"{job.name}"
        )
    mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{PLACE}/{one.WEIGHTS}", dst_path=str(folder))
    job.delete()


def manifest(config: Settings, run_id: str, name: str) -> dict[str, Any]:
    """The TrainJob of a training.

    Args:
        config: The `train`, `cluster`, `pipeline` and `mlflow` sections are read.
        run_id: MLflow run of the training.
        name: Name of the job.
    """
    chosen = config.cluster
    resources = {"cpu": f"{chosen.cpu:g}", "memory": chosen.memory}
    if chosen.gpus:
        resources[chosen.gpu_type] = str(chosen.gpus)
    environment: list[dict[str, Any]] = [
        {"name": "MLFLOW_EXPERIMENT_NAME", "value": config.mlflow.experiment},
        {"name": "MLFLOW_RUN_ID", "value": run_id},
    ]
    if not password_in(config.mlflow.tracking_uri):  # one with a password comes from cluster.secret
        environment.append({"name": "MLFLOW_TRACKING_URI", "value": tracking_uri(config)})
    secrets = chosen.secret_keys if chosen.secret else ()
    # A name may come once, and what the Secret has wins, as in a step's own pod.
    environment = [variable for variable in environment if variable["name"] not in secrets]
    for key in secrets:
        reference = {"name": chosen.secret, "key": key, "optional": True}
        environment.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    spec: dict[str, Any] = {
        "runtimeRef": {"name": chosen.training_runtime},
        "trainer": {
            "image": config.pipeline.image,
            "command": [
                "python",
                "-m",
                "torch.distributed.run",
                "-m",
                one.__name__,
                f"runs:/{run_id}/{PLACE}",
            ],
            "env": environment,
            "numNodes": config.train.nodes,
            "numProcPerNode": config.train.processes,
            "resourcesPerNode": {"requests": resources, "limits": resources},
        },
    }
    if pod := _pod(config):
        template = {
            "spec": {"replicatedJobs": [{"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}]}
        }
        spec["runtimePatches"] = [
            {"manager": "mlops.example.com/train", "trainingRuntimeSpec": {"template": template}}
        ]
    metadata = {"name": name, "labels": {"mlops.run": run_id}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _pod(config: Settings) -> dict[str, Any]:
    """What the runtime's pods need besides: the volume, where they may run, and as whom."""
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


class _Job:
    """One TrainJob on the cluster that this process belongs to, else that of the kubeconfig."""

    def __init__(self, config: Settings, name: str) -> None:
        try:
            import kubernetes
        except ImportError:
            raise TrainingError(
                "train.nodes needs the Kubernetes client. Install it with: pip install 'mlops-lib[pipelines]'"
            ) from None
        from kubernetes.config import ConfigException

        api, namespace = kubernetes.client.Configuration(), config.cluster.namespace
        # The client reads KUBECONFIG when it is imported, and never again.
        file = os.environ.get("KUBECONFIG")
        try:
            kubernetes.config.load_incluster_config(api)
            namespace = namespace or IN_CLUSTER_NAMESPACE.read_text().strip()
        except ConfigException:
            try:
                kubernetes.config.load_kube_config(file, client_configuration=api)
                _, active = kubernetes.config.list_kube_config_contexts(file)
            except ConfigException as error:
                raise TrainingError(
                    f"train.nodes is {config.train.nodes}, and there is no Kubernetes cluster to train on: {error} "
                    "Set KUBECONFIG, or train.nodes: 1."
                ) from None
            namespace = namespace or active["context"].get("namespace", "default")
        client = kubernetes.client.ApiClient(api)
        self.namespace, self.name = namespace, name
        self._jobs = kubernetes.client.CustomObjectsApi(client)
        self._core = kubernetes.client.CoreV1Api(client)
        self._at = (GROUP, VERSION, namespace, PLURAL)
        self._told: set[str] = set()
        self._printed = 0

    def submit(self, body: dict[str, Any]) -> None:
        with self._answers("create"):
            self._jobs.create_namespaced_custom_object(*self._at, body)

    def follow(self) -> str:
        """Wait for the end, print what rank 0 prints; gives why the job failed, "" when it did not."""
        misses = 0
        while True:
            try:
                with self._answers("read"):
                    status = self._jobs.get_namespaced_custom_object(*self._at, self.name).get("status", {})
                misses = 0
            except TrainingError:
                misses += 1
                if misses > MOST_MISSES:
                    raise
                status = {}
            pods: list[Any] = []
            # Neither pods nor logs that cannot be read end a training that goes on.
            with contextlib.suppress(TrainingError), self._answers("read"):
                pods = self._pods()
                self._show(pods)
            ended = {c["type"]: c for c in status.get("conditions", []) if c.get("status") == "True"}
            if "Complete" in ended:
                return ""
            if "Failed" in ended:
                why = ""
                with contextlib.suppress(TrainingError), self._answers("read"):
                    why = self._why(pods)
                return why or ended["Failed"].get("message") or "no reason was given"
            time.sleep(POLL_S)

    def delete(self) -> None:
        """Take the job and its pods away; whoever cannot is not stopped by that."""
        with contextlib.suppress(TrainingError), self._answers("delete"):
            self._jobs.delete_namespaced_custom_object(*self._at, self.name)

    def _pods(self) -> list[Any]:
        # A TrainJob's JobSet has its name.
        label = f"jobset.sigs.k8s.io/jobset-name={self.name}"
        return self._core.list_namespaced_pod(self.namespace, label_selector=label).items

    def _show(self, pods: list[Any]) -> None:
        """What keeps a node from starting, once; and the new lines of the first node."""
        for pod in pods:
            for container in pod.status.container_statuses or []:
                waits = container.state.waiting
                if waits and waits.reason != "ContainerCreating":
                    self._tell(f"{pod.metadata.name} waits: {waits.reason} {waits.message or ''}")
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status == "False":
                    self._tell(f"{pod.metadata.name} waits: {condition.reason} {condition.message or ''}")
        index = "batch.kubernetes.io/job-completion-index"
        first = next((pod for pod in pods if (pod.metadata.labels or {}).get(index) == "0"), None)
        if first and first.status.phase != "Pending":
            text = self._log(first)
            print(text[self._printed :], end="", flush=True)
            self._printed = max(len(text), self._printed)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            print(masked(line), flush=True)

    def _why(self, pods: list[Any]) -> str:
        """The last words of the node that failed first, else the end of its log."""
        ends = [
            (container.state.terminated, pod)
            for pod in pods
            for container in pod.status.container_statuses or []
            if container.state.terminated and container.state.terminated.exit_code
        ]
        for end, pod in sorted(ends, key=lambda pair: str(pair[0].finished_at)):
            if words := (end.message or "").strip():
                return f"{pod.metadata.name}: {words}"
            if end.reason and end.reason != "Error":
                return f"{pod.metadata.name}: {end.reason}"
        for _, pod in ends[:1]:
            lines = self._log(pod).splitlines()[-LAST_LINES:]
            return "\n".join([f"{pod.metadata.name} ended with:", *lines])
        return ""

    def _log(self, pod: Any) -> str:
        # By name: a service mesh adds containers of its own.
        return self._core.read_namespaced_pod_log(pod.metadata.name, self.namespace, container=NODE)

    @contextlib.contextmanager
    def _answers(self, doing: str) -> Iterator[None]:
        """Errors of the client, whose text holds headers, as one line."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            try:
                message = json.loads(error.body)["message"]
            except (ValueError, TypeError, KeyError):
                message = error.reason
            hint = {
                403: " The step's service account needs the Role of docs/training.md.",
                404: " Is Kubeflow Trainer v2 installed there?" if doing == "create" else "",
            }.get(error.status, "")
            raise TrainingError(
                f"Kubernetes would not {doing} TrainJob {self.namespace}/{self.name} (HTTP {error.status}): "
                f"{masked(str(message))}.{hint}"
            ) from None
        except HTTPError as error:
            raise TrainingError(f"Kubernetes does not answer: {type(error).__name__}: {error}") from None
