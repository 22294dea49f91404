"""Settings of section `train`."""

from pydantic import Field, model_validator

from mlops_lib.settings.section import Name, Section


class TrainSettings(Section):
    """How a network is fitted. Estimators without epochs use only `seed`."""

    max_epochs: int = Field(50, ge=1, description="most passes over the training data")
    patience: int = Field(5, ge=1, description="epochs without a better validation loss before stopping")
    batch_size: int = Field(256, ge=1, description="rows in one step, over all processes")
    refit: bool = Field(True, description="auto: fit once more on train and validation rows together")
    seed: int = Field(0, ge=0, description="seed of weights and shuffling")
    accelerator: Name = Field("auto", description="Lightning's accelerator: auto, cpu, gpu")
    processes: int = Field(1, ge=1, description="processes (with GPUs: GPUs) that share a network's training")
    nodes: int = Field(
        1, ge=1, description="machines with `processes` each; above 1: a TrainJob on Kubernetes"
    )

    @model_validator(mode="after")
    def _each_process_has_a_batch(self) -> "TrainSettings":
        workers = self.processes * self.nodes
        if workers > 1 and self.batch_size < 2 * workers:
            raise ValueError(
                f"batch_size is shared by {workers} processes: make it {2 * workers} rows or more"
            )
        return self
