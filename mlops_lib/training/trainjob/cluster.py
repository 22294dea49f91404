"""The Kubernetes cluster: how this process reaches it, and its errors in one line."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_lib.errors import TrainingError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings

IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(config: Settings) -> tuple[Any, str]:
    """A client of the cluster that this process runs in, else of the kubeconfig's; and the namespace.

    Raises:
        TrainingError: The client is not installed, or there is no cluster.
    """
    try:
        import kubernetes
    except ImportError:
        raise TrainingError(
            "train.nodes needs the Kubernetes client. Install it with: pip install 'mlops-lib[pipelines]'"
        ) from None
    from kubernetes.config import ConfigException

    api, namespace = kubernetes.client.Configuration(), config.cluster.namespace
    # The client itself reads KUBECONFIG only once, when it is imported.
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
    return kubernetes.client.ApiClient(api), namespace


@contextlib.contextmanager
def explained(action: str, job: str) -> Iterator[None]:
    """Turn the client's errors, whose text holds headers, into one line.

    Args:
        action: What is done: create, read, delete.
        job: namespace/name of the TrainJob.
    """
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
            404: " Is Kubeflow Trainer v2 installed there?" if action == "create" else "",
        }.get(error.status, "")
        raise TrainingError(
            f"Kubernetes would not {action} TrainJob {job} (HTTP {error.status}): {mask(str(message))}.{hint}"
        ) from None
    except HTTPError as error:
        raise TrainingError(f"Kubernetes does not answer: {type(error).__name__}: {error}") from None
