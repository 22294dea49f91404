"""What a step gets on a cluster: the `cluster` section of config.yaml, as kfp-kubernetes spells it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_lib.redact import password_in
from mlops_lib.settings import Settings
from mlops_lib.step_cache.store import MEMORY_ENV

#: Longest wait between two tries of a step.
LONGEST_WAIT_S = 3600


def finisher(settings: Settings, remember: bool = True) -> Callable[[Any, str], None]:
    """A `finish` for `pipelines.training.make`.

    Args:
        settings: The `cluster` and `pipeline` sections are read.
        remember: Let the steps remember; they do when ``pipeline.work_dir`` is on the volume claim.
    """
    from kfp import kubernetes

    chosen = settings.cluster
    home = settings.mlflow

    def finish(task: Any, notebook: str) -> None:
        # The platform's own memory knows what is in a notebook and in the data; Kubeflow's knows their names.
        task.set_caching_options(False)
        task.set_cpu_limit(f"{chosen.cpu:g}").set_memory_limit(chosen.memory)
        if chosen.gpus and notebook == "02_train":
            task.set_accelerator_type(chosen.gpu_type).set_accelerator_limit(chosen.gpus)
        if chosen.retries:
            task.set_retry(chosen.retries, f"{chosen.retry_wait_s}s", 2.0, f"{LONGEST_WAIT_S}s")
        task.set_env_variable("MLFLOW_EXPERIMENT_NAME", home.experiment)
        task.set_env_variable("MLOPS_IMAGE", settings.pipeline.image)
        # An address with a password is not for a YAML file: it comes from cluster.secret.
        if home.tracking_uri.startswith("http") and not password_in(home.tracking_uri):
            task.set_env_variable("MLFLOW_TRACKING_URI", home.tracking_uri)
        if remember and chosen.volume_claim:
            task.set_env_variable(MEMORY_ENV, "use")
        # The image has a work folder of its own, which goes with the pod.
        if chosen.volume_claim and Path(settings.pipeline.work_dir).is_relative_to(chosen.volume_path):
            task.set_env_variable("MLOPS_WORK_DIR", settings.pipeline.work_dir)
        if chosen.secret:
            names = {key: key for key in chosen.secret_keys}
            kubernetes.use_secret_as_env(task, chosen.secret, names, optional=True)
        if chosen.volume_claim:
            kubernetes.mount_pvc(task, chosen.volume_claim, chosen.volume_path)
        for label, value in chosen.node_selector.items():
            kubernetes.add_node_selector(task, label, value)

    return finish
