"""Settings of section `mlflow`."""

from pydantic import Field

from mlops_lib.settings.section import Name, Section


class MlflowSettings(Section):
    """The MLflow server, and the experiment."""

    tracking_uri: Name = Field("sqlite:///.mlops/mlflow.db", description="MLflow server, or a SQLite file")
    experiment: Name = Field("default", description="experiment that training logs to")
