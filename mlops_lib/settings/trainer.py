"""Arguments of Lightning's Trainer in ``train.trainer``, and classes that config.yaml names.

They are checked when config.yaml is read, without importing Lightning.
A test compares the two tables with the Trainer.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

#: Arguments that the platform sets itself -> the setting to use instead, or the platform's way.
OWNED: dict[str, str] = {
    "accelerator": "use train.accelerator",
    "barebones": "the run needs its metrics and checkpoints",
    "callbacks": "use train.callbacks",
    "default_root_dir": "use pipeline.work_dir",
    "devices": "use train.processes",
    "enable_checkpointing": "the weights of the best epoch are always kept",
    "enable_model_summary": "use lightning.pytorch.callbacks:ModelSummary in train.callbacks",
    "enable_progress_bar": "a line is printed for an epoch",
    "fast_dev_run": "use train.max_epochs: 1 with limit_train_batches: 1",
    "limit_predict_batches": "training does not predict",
    "limit_test_batches": "03_evaluate judges all rows of the test split",
    "logger": "use mlflow.tracking_uri",
    "max_epochs": "use train.max_epochs",
    "model_registry": "use model.name",
    "num_nodes": "use train.nodes",
    "overfit_batches": "use limit_train_batches",
    "plugins": "use precision",
    "profiler": "use train.profiler",
    "reload_dataloaders_every_n_epochs": "the loaders have a new order in each epoch",
    "strategy": "use train.processes and train.nodes",
    "use_distributed_sampler": "the loaders share the rows themselves",
}


def _batches(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not whole and not (isinstance(value, float) and 0 < value <= 1):
        raise ValueError(
            "It should be a number of batches (1, 2, ...) or a share of them (above 0.0, up to 1.0)"
        )
    return value


def _duration(value: str) -> str:
    if not re.fullmatch(r"\d\d:\d\d:\d\d:\d\d", value):
        raise ValueError('It should be days, hours, minutes and seconds in quotes, such as "00:12:00:00"')
    return value


Batches = Annotated[Any, AfterValidator(_batches)]
AtLeastOne = Annotated[int, Field(ge=1)]


class TrainerArguments(TypedDict, total=False):
    """What ``train.trainer`` may hold: Lightning's own names and meanings."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    accumulate_grad_batches: AtLeastOne
    benchmark: bool
    check_val_every_n_epoch: AtLeastOne | None
    detect_anomaly: bool
    deterministic: Literal[True, False, "warn"]
    enable_autolog_hparams: bool
    gradient_clip_algorithm: Literal["norm", "value"]
    gradient_clip_val: Annotated[float, Field(gt=0)]
    inference_mode: bool
    limit_train_batches: Batches
    limit_val_batches: Batches
    log_every_n_steps: AtLeastOne
    max_steps: AtLeastOne
    max_time: Annotated[str, AfterValidator(_duration)]
    min_epochs: AtLeastOne
    min_steps: AtLeastOne
    num_sanity_val_steps: Annotated[int, Field(ge=0)]
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"]
    sync_batchnorm: bool
    val_check_interval: Batches


def _none_owned(arguments: Any) -> Any:
    if isinstance(arguments, Mapping):
        for name in arguments:
            if instead := OWNED.get(str(name)):
                raise ValueError(f"{name!r} is set by the platform: {instead}")
    return arguments


def _made(value: Any) -> dict[str, Any]:
    given = {"class": value} if isinstance(value, str) else value
    path = given.get("class") if isinstance(given, Mapping) else None
    params = given.get("params", {}) if isinstance(given, Mapping) else None
    if (
        not isinstance(path, str)
        or not re.fullmatch(r"[\w.]+:\w+", path)
        or not isinstance(params, Mapping)
        or set(given) - {"class", "params"}
    ):
        raise ValueError(
            'It should be "package.module:Class" or {class: "package.module:Class", params: {...}}'
        )
    return {"class": path, "params": dict(params)}


Trainer = Annotated[TrainerArguments, BeforeValidator(_none_owned)]
#: ``{"class": "package.module:Class", "params": {...}}``; a text is the class alone.
Made = Annotated[dict[str, Any], BeforeValidator(_made)]
#: The same, or nothing.
OptionalMade = Annotated[dict[str, Any], BeforeValidator(lambda value: _made(value) if value else {})]
