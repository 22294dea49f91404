"""Settings of section `model`."""

from typing import Any

from pydantic import Field

from mlops_lib.settings.section import Name, Section


class ModelSettings(Section):
    """What is trained and the name it is registered under."""

    name: Name = Field("model", description="name in the MLflow Model Registry")
    wrapper: Name = Field("lightning", description="lightning, sklearn, pyfunc, or package.module:Class")
    implementation: Name = Field(
        "tabular", description="network or estimator: a name or package.module:Class"
    )
    params: dict[str, Any] = Field({}, description="keyword arguments of the implementation")
