"""All settings: one module a section. `mlops_lib.config` resolves their values."""

import hashlib
import shlex
from pathlib import Path

from pydantic import Field, PrivateAttr, model_validator

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
from mlops_lib.settings.readers import read_by
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
    """All settings. `root` is the folder that relative paths start from."""

    root: Path
    mlflow: MlflowSettings = MlflowSettings()
    data: DataSettings = Field(json_schema_extra=read_by("get-data", "train-model", "evaluate-model"))
    model: ModelSettings = ModelSettings()
    train: TrainSettings = Field(TrainSettings(), json_schema_extra=read_by("train-model"))
    search: SearchSettings = Field(SearchSettings(), json_schema_extra=read_by())
    evaluation: EvaluationSettings = Field(json_schema_extra=read_by("evaluate-model"))
    llm: LlmSettings = Field(LlmSettings(), json_schema_extra=read_by("train-model", "evaluate-model"))
    pipeline: PipelineSettings = Field(PipelineSettings(), json_schema_extra=read_by())
    cluster: ClusterSettings = Field(ClusterSettings(), json_schema_extra=read_by())
    serving: ServingSettings = Field(ServingSettings(), json_schema_extra=read_by())
    secrets: Secrets = Field(Secrets(), json_schema_extra=read_by())

    @model_validator(mode="after")
    def _what_is_fitted_has_rows_to_learn_from(self) -> "Settings":
        data = self.data
        if data.validation_fraction + data.test_fraction == 1 and self.evaluation.task != "text":
            raise ValueError(
                f"data.test_fraction {data.test_fraction:g} + data.validation_fraction {data.validation_fraction:g} "
                f"leave no rows to learn from. With evaluation.task: {self.evaluation.task} their sum must be below 1; "
                "only a text task, where nothing is fitted, may judge all rows"
            )
        return self

    @model_validator(mode="after")
    def _heads_are_labels(self) -> "Settings":
        chosen = self.evaluation
        if chosen.heads and sorted(self.data.labels) != sorted([chosen.output, *chosen.heads]):
            raise ValueError(
                f"evaluation.output {chosen.output!r} and evaluation.heads ({', '.join(chosen.heads)}) must name each column of "
                f"data.label once, which has {', '.join(self.data.labels)}: each output has the name of its label"
            )
        if chosen.heads and chosen.task not in ("classification", "regression"):
            raise ValueError(
                f"evaluation.heads goes with the task classification or regression of evaluation.output, and the task is {chosen.task}"
            )
        return self

    _configured_digest: str = PrivateAttr("")
    #: Words that a printed command needs to find this configuration again;
    #: empty where it is found without them.
    _config_option: tuple[str, ...] = PrivateAttr(())

    def path(self, value: str) -> Path:
        """`value` as an absolute path, taken from `root` when it is relative."""
        return (self.root / Path(value).expanduser()).resolve()

    def command(self, *words: object) -> str:
        """A command of `mlops` for a reader to copy, with the config file that the reader gave."""
        return shlex.join(("mlops", *map(str, words), *self._config_option))

    def with_config_option(self, file: Path, nearest: Path | None) -> "Settings":
        """These settings, whose commands name `file` unless `mlops` finds it as the `nearest` one."""
        copy = self.model_copy()
        if file != nearest and file.is_file():
            below = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
            copy._config_option = ("-c", str(below))
        return copy

    def notebook(self, name: str) -> Path:
        """The file of a notebook.

        Raises:
            ConfigError: The file does not exist.
        """
        file = self.path(self.pipeline.notebooks) / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(
                f"There is no notebook {file}. `mlops init .` copies the notebooks into a project that has a "
                "config.yaml and none; pipeline.notebooks of config.yaml is their folder."
            )
        return file

    def digest(self) -> str:
        """Twelve hex digits of the configuration: config.yaml, environment and defaults, without arguments.

        All steps of a pipeline run have the same digest, although each has arguments of its own.
        Secrets, `root` and the address of MLflow do not count: MLflow writes the resolved address
        into the environment of the steps.
        """
        if self._configured_digest:
            return self._configured_digest
        text = self.model_dump_json(exclude={"secrets": True, "root": True, "mlflow": {"tracking_uri"}})
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def with_digest_of(self, configured: "Settings") -> "Settings":
        """These settings, which arguments changed, with the digest of the
        configuration that they came from."""
        copy = self.model_copy()
        copy._configured_digest = configured.digest()
        copy._config_option = configured._config_option
        return copy
