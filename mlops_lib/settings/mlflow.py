"""Settings of section `mlflow`."""

from pydantic import Field

from mlops_lib.settings.section import Name, Section


class MlflowSettings(Section):
    """The MLflow server, and the experiment."""

    tracking_uri: Name = Field("sqlite:///.mlops/mlflow.db", description="MLflow server, or a SQLite file")
    # A dataset's name is the experiment's and a split's; MLflow takes 500 characters for each.
    experiment: Name = Field("default", max_length=480, description="experiment that training logs to")
