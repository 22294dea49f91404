"""All settings: one module a section. `mlops_lib.config` resolves their values."""

import hashlib
from pathlib import Path

from mlops_lib.errors import ConfigError
from mlops_lib.settings.cluster import ClusterSettings
from mlops_lib.settings.data import (
    CheckSettings,
    ColumnCheck,
    DataSettings,
    FeatureStoreSettings,
    SqlSettings,
)
from mlops_lib.settings.evaluation import EvaluationSettings
from mlops_lib.settings.llm import LlmSettings
from mlops_lib.settings.mlflow import MlflowSettings
from mlops_lib.settings.model import ModelSettings
from mlops_lib.settings.pipeline import PipelineSettings
from mlops_lib.settings.search import Dimension, SearchSettings
from mlops_lib.settings.secrets import Secrets
from mlops_lib.settings.section import Section
from mlops_lib.settings.serving import EnrichmentSettings, Policy, ServingSettings
from mlops_lib.settings.train import TrainSettings

__all__ = [
    "CheckSettings",
    "ClusterSettings",
    "ColumnCheck",
    "DataSettings",
    "Dimension",
    "EnrichmentSettings",
    "EvaluationSettings",
    "FeatureStoreSettings",
    "LlmSettings",
    "MlflowSettings",
    "ModelSettings",
    "PipelineSettings",
    "Policy",
    "SearchSettings",
    "Secrets",
    "Section",
    "ServingSettings",
    "Settings",
    "SqlSettings",
    "TrainSettings",
]


class Settings(Section):
    """Everything the platform reads. `root` is the folder that relative paths start from."""

    root: Path
    mlflow: MlflowSettings = MlflowSettings()
    data: DataSettings
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    search: SearchSettings = SearchSettings()
    evaluation: EvaluationSettings
    llm: LlmSettings = LlmSettings()
    pipeline: PipelineSettings = PipelineSettings()
    cluster: ClusterSettings = ClusterSettings()
    serving: ServingSettings = ServingSettings()
    secrets: Secrets = Secrets()

    def path(self, value: str) -> Path:
        """`value` as an absolute path, taken from `root` when it is relative."""
        return (self.root / Path(value).expanduser()).resolve()

    def notebook(self, name: str) -> Path:
        """The file of one of the four notebooks.

        Raises:
            ConfigError: There is none.
        """
        file = self.path(self.pipeline.notebooks) / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(
                f"There is no notebook {file}. `mlops init` puts the four into a folder, and pipeline.notebooks of "
                "config.yaml says where they are."
            )
        return file

    def digest(self) -> str:
        """Twelve hex digits that change with any setting except secrets, `root` and where MLflow is.

        MLflow writes the resolved tracking URI into the environment, so that a step would see another one.
        """
        text = self.model_dump_json(exclude={"secrets": True, "root": True, "mlflow": {"tracking_uri"}})
        return hashlib.sha256(text.encode()).hexdigest()[:12]
