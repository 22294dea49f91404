"""Settings of section `pipeline`."""

from pydantic import Field

from mlops_lib.settings.section import Name, Section


class PipelineSettings(Section):
    """How the notebooks are run."""

    name: Name = Field("training", description="name of the Kubeflow pipeline")
    notebooks: Name = Field("notebooks", description="folder of the notebooks")
    image: Name = Field("mlops-notebook-python:latest", description="container image of the steps")
    work_dir: Name = Field(".mlops", description="folder for run logs, pipeline files and the step cache")
    cell_timeout_s: int = Field(0, ge=0, description="time limit of one cell; 0: none")
