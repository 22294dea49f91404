"""Settings of section `train`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mlops_lib.errors import ConfigError
from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Name, Section
from mlops_lib.settings.served_model import FORMS, served_model
from mlops_lib.settings.trainer import Made, OptionalMade, Trainer, TrainerArguments


class TrainSettings(Section):
    """How a network is fitted. Estimators without epochs use only `seed`."""

    max_epochs: int = Field(
        0, ge=0, description="most passes over the training data; 0: by its rows, 50 to 300; 50 for images"
    )
    patience: int = Field(
        0,
        ge=0,
        description="epochs without a better validation loss before stopping; 0: by the rows, 5 to 30, and 5 to 10 for "
        "images",
    )
    batch_size: int = Field(
        0, ge=0, description="rows in one step, over all processes; 0: by the rows, 16 to 256"
    )
    num_workers: int | None = Field(
        None,
        ge=0,
        description="processes that decode images or make the items of `dataset`; unset: for images as many as there are "
        "cores, 8 at most, and none for few",
    )
    refit: bool = Field(True, description="auto: fit once more on train and validation rows together")
    seed: int = Field(0, ge=0, description="seed of weights and shuffling")
    accelerator: Name = Field("auto", description="Lightning's accelerator: auto, cpu, gpu")
    processes: int = Field(1, ge=1, description="processes (with GPUs: GPUs) that share a network's training")
    nodes: int = Field(
        1, ge=1, description="machines with `processes` each; above 1: a TrainJob on Kubernetes"
    )
    trainer: Trainer = Field(
        TrainerArguments(), description="arguments for Lightning's Trainer, such as gradient_clip_val"
    )
    callbacks: tuple[Made, ...] = Field(
        (),
        description="Lightning callbacks: package.module:Class, or {class:, params:}",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    datamodule: OptionalMade = Field(
        {},
        description="LightningDataModule with the training batches: package.module:Class, or {class:, params:}",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    dataset: OptionalMade = Field(
        {},
        description="torch Dataset with the training items of a split: package.module:Class, or {class:, params:}",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    profiler: Literal["", "simple", "pytorch"] = Field(
        "", description="log a profile of the training: simple (seconds by action) or pytorch (operators)"
    )
    find_lr: bool = Field(False, description="find the network's learning rate before the training")
    warm_start: str = Field(
        "",
        description="weights to start from: models:/name@alias, models:/name/3, or a file of torch.save",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    warm_start_strict: bool = Field(True, description="every parameter must be in warm_start, with its shape")
    compile: bool = Field(False, description="compile the network's layers with torch.compile")

    @field_validator("warm_start")
    @classmethod
    def _is_a_version_or_a_file(cls, value: str) -> str:
        if value.startswith(("models:", "runs:")):
            try:
                served_model(value)
            except ConfigError:
                raise ValueError(f"It should be {FORMS}, or a file of torch.save") from None
        return value

    @model_validator(mode="after")
    def _batches_come_from_one_place(self) -> "TrainSettings":
        if self.datamodule and self.dataset:
            raise ValueError("datamodule and dataset both give the training batches: set one of them")
        return self

    @model_validator(mode="after")
    def _each_process_has_a_batch(self) -> "TrainSettings":
        workers = self.processes * self.nodes
        if workers > 1 and 0 < self.batch_size < 2 * workers:
            raise ValueError(
                f"batch_size is shared by {workers} processes: make it {2 * workers} rows or more"
            )
        return self
