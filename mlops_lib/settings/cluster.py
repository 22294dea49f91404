"""Settings of section `cluster`: resources of a step's container."""

from pydantic import Field

from mlops_lib.settings.names import (
    EnvironmentName,
    KubernetesName,
    LabelValue,
    Namespace,
    QualifiedName,
)
from mlops_lib.settings.section import Name, Section


class ClusterSettings(Section):
    """Resources of a step's container, on a Kubeflow cluster and as far as possible in Docker."""

    cpu: float = Field(2.0, gt=0, description="processor cores of a step")
    memory: str = Field("4Gi", pattern=r"^[1-9]\d*[MG]i$", description="memory of a step, as 512Mi or 4Gi")
    gpus: int = Field(0, ge=0, description="GPUs of the training step")
    gpu_type: QualifiedName = Field("nvidia.com/gpu", description="resource name of those GPUs")
    training_runtime: KubernetesName = Field(
        "torch-distributed", description="ClusterTrainingRuntime of a TrainJob (train.nodes above 1)"
    )
    retries: int = Field(2, ge=0, description="retries of a failed step")
    retry_wait_s: int = Field(
        30, ge=1, description="seconds before the first retry; each later one waits twice as long"
    )
    namespace: Namespace = Field("", description="namespace to run in; empty: the server's default")
    service_account: KubernetesName = Field(
        "", description="service account of the steps; empty: the default one"
    )
    secret: KubernetesName = Field(
        "", description="Secret whose keys become environment variables of the steps"
    )
    secret_keys: tuple[EnvironmentName, ...] = Field(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"), description="keys taken from it"
    )
    volume_claim: KubernetesName = Field(
        "", description="PersistentVolumeClaim mounted at volume_path, for data and step cache"
    )
    volume_path: Name = Field(
        "/mnt/mlops",
        pattern="^/[^:]*$",
        description="mount path of the claim; set pipeline.work_dir to a folder in it",
    )
    node_selector: dict[QualifiedName, LabelValue] = Field({}, description="labels that a node must have")
    pipeline_root: str = Field(
        "", description="where Kubeflow stores outputs of steps: s3://bucket/folder; empty: its default"
    )
