"""The resources, variables and volumes of a step on a cluster, from the `cluster` section of config.yaml."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_lib.redact import password_in
from mlops_lib.settings import Settings
from mlops_lib.step_cache.mode import StepCacheMode

#: Longest wait between two tries of a step.
MAX_RETRY_WAIT_S = 3600


def finisher(settings: Settings, use_cache: bool = True) -> Callable[[Any, bool], None]:
    """A `finish` for `pipelines.training.make`.

    Args:
        settings: The `cluster` and `pipeline` sections are read.
        use_cache: Let the steps use the step cache, which needs ``pipeline.work_dir`` on the volume claim.
    """
    from kfp import kubernetes

    chosen = settings.cluster
    home = settings.mlflow

    def finish(task: Any, trains: bool) -> None:
        # Kubeflow's cache compares the names of notebooks and data; our step cache compares their content.
        task.set_caching_options(False)
        task.set_cpu_limit(f"{chosen.cpu:g}").set_memory_limit(chosen.memory)
        if chosen.gpus and trains:
            task.set_accelerator_type(chosen.gpu_type).set_accelerator_limit(chosen.gpus)
        if chosen.retries:
            task.set_retry(chosen.retries, f"{chosen.retry_wait_s}s", 2.0, f"{MAX_RETRY_WAIT_S}s")
        task.set_env_variable("MLFLOW_EXPERIMENT_NAME", home.experiment)
        task.set_env_variable("MLOPS_IMAGE", settings.pipeline.image)
        # A password must not be in a YAML file; such an address comes from cluster.secret.
        if home.tracking_uri.startswith("http") and not password_in(home.tracking_uri):
            task.set_env_variable("MLFLOW_TRACKING_URI", home.tracking_uri)
        if use_cache and chosen.volume_claim:
            for name, value in StepCacheMode(lookup=True).to_env().items():
                task.set_env_variable(name, value)
        # The work folder of the image is deleted with the pod.
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
