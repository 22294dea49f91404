"""Settings of section `mlflow`."""

from pydantic import Field

from mlops_lib.settings.section import Name, Section


class MlflowSettings(Section):
    """Where runs, artifacts and models are kept."""

    tracking_uri: Name = Field("sqlite:///.mlops/mlflow.db", description="MLflow server, or a SQLite file")
    experiment: Name = Field("default", description="experiment that training logs to")
