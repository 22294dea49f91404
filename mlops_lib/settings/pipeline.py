"""Settings of section `pipeline`."""

from typing import Annotated

from pydantic import Field, StringConstraints

from mlops_lib.settings.names import ImageName
from mlops_lib.settings.section import Name, Section


class PipelineSettings(Section):
    """How the notebooks are run."""

    # Kubeflow takes 128 characters, and each version has a number behind the name.
    name: Name = Field("training", max_length=100, description="name of the Kubeflow pipeline")
    notebooks: Name = Field("notebooks", description="folder of the notebooks")
    image: ImageName = Field("mlops-notebook-python:latest", description="container image of the steps")
    work_dir: Name = Field(".mlops", description="folder for run logs, pipeline files and the step cache")
    openlineage_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^@\s]+)?$")] = Field(
        "", description="receiver of OpenLineage events, without its path /api/v1/lineage; empty: none"
    )
    cell_timeout_s: int = Field(0, ge=0, description="time limit of one cell; 0: none")
