"""Settings of section `model`."""

from typing import Any

from pydantic import Field

from mlops_lib.settings.names import ModelName
from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Name, Section


class ModelSettings(Section):
    """The model to train, and its name in the registry."""

    name: ModelName = Field(
        "model",
        description="name in the MLflow Model Registry",
        json_schema_extra=read_by("train-model", "register-model"),
    )
    wrapper: Name = Field(
        "lightning",
        description="lightning, sklearn, pyfunc, or package.module:Class",
        json_schema_extra=read_by("train-model", "evaluate-model", code=("train-model", "evaluate-model")),
    )
    implementation: Name = Field(
        "tabular",
        description="network or estimator: a name or package.module:Class",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    params: dict[str, Any] = Field(
        {},
        description="keyword arguments of the implementation",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
