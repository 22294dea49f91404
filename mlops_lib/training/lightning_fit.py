"""Fit a network with Lightning in this process, which may be one worker of several."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import GpuStoppedError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import trainer as trainers
from mlops_lib.training.trainer import quiet

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
    from torch.utils.data import DataLoader

    from mlops_lib.training.best_epoch import BestEpoch

# OpenMP's threads spin while they wait. On a busy machine that costs a small network most of its time
# (measured: 7 times on two cores). torch reads the variable when it is imported, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

#: Steps without a better validation loss before stopping, and most steps, where the settings choose by rows.
PATIENCE_STEPS, MAX_STEPS = 200, 3_000
#: Most epochs without a better validation loss, and most epochs. An epoch of images is long,
#: and a few dozen are enough.
MOST, MOST_OF_IMAGES = (30, 300), (10, 50)
#: Values of a training split's images from which starting processes to decode them pays off,
#: and most processes.
MANY_VALUES, MAX_DECODERS = 1 << 25, 8
#: The memory that processes share, of which a container often has 64 MiB;
#: and the batches of training and of validation that each process may have there.
SHARED, SHARED_BATCHES = Path("/dev/shm"), 6
#: Folder of the run's artifacts with the profile of the training.
PROFILER = "profiler"


def begin(seed: int) -> None:
    """Seed every source of randomness, and silence notices that do not help the reader of a notebook.

    Raises:
        GpuStoppedError: An earlier training of this process stopped the GPU.
    """
    import lightning.pytorch as pl
    import torch

    quiet()
    try:
        pl.seed_everything(seed, workers=True, verbose=False)
    except torch.AcceleratorError as error:
        first, *_ = str(error).splitlines()
        raise GpuStoppedError(
            f"An earlier training stopped the GPU with {first}, and this process can no longer use it. In a notebook, restart "
            "the kernel."
        ) from error


def sized(config: Settings, rows: int, has_images: bool = False) -> Settings:
    """The settings with those of `train` that are 0 chosen by the number of training rows.

    A small table needs small batches and more epochs: else the fit ends after a few steps.
    """
    train = config.train
    workers = train.processes * train.nodes
    power = max(4, min(8, (rows // 16).bit_length() - 1))
    batch_size = train.batch_size or max(2**power, 2 * workers)
    steps = -(-rows // batch_size)
    patience, epochs = MOST_OF_IMAGES if has_images else MOST
    chosen = {
        "batch_size": batch_size,
        "patience": train.patience or max(5, min(patience, -(-PATIENCE_STEPS // steps))),
        "max_epochs": train.max_epochs or max(50, min(epochs, -(-MAX_STEPS // steps))),
    }
    return config.model_copy(update={"train": train.model_copy(update=chosen)})


def rows_of_a_batch(config: Settings, workers: int = 1) -> int:
    """Rows in a batch of each of some workers."""
    return -(-config.train.batch_size // workers)


def batches(
    data_loader: BaseDataLoader, config: Settings, encoder: Encoder | InputEncoder, workers: int = 1
) -> "tuple[DataLoader, DataLoader]":
    """Shuffled training batches and validation batches; each of `workers` takes its
    share of a step's rows."""
    size, seed = rows_of_a_batch(config, workers), config.train.seed
    if config.train.dataset:
        from mlops_lib.training import own_dataset

        return own_dataset.loaders(config, data_loader, encoder, size)
    number = _decoders(data_loader, config, encoder, workers)
    train = data_loader.torch("train", size, shuffle=True, seed=seed, num_workers=number, encoder=encoder)
    return train, data_loader.torch("validation", size, num_workers=number, encoder=encoder)


def _decoders(
    data_loader: BaseDataLoader, config: Settings, encoder: Encoder | InputEncoder, workers: int
) -> int:
    """Processes that decode images for each of the workers; the batches do not depend on the number."""
    if not (isinstance(encoder, InputEncoder) and encoder.decodes_images):
        return 0
    if config.train.num_workers is not None:
        return config.train.num_workers
    if data_loader.count("train") * encoder.image_values < MANY_VALUES:
        return 0
    wanted = min((os.cpu_count() or 1) // workers, MAX_DECODERS)
    if not SHARED.is_dir():
        return wanted
    batch_bytes = 4 * encoder.image_values * rows_of_a_batch(config, workers)
    fitting = shutil.disk_usage(SHARED).free // (SHARED_BATCHES * batch_bytes * workers)
    if fitting < wanted:
        print(
            f"Images are decoded by {fitting} processes instead of {wanted}: {SHARED} has no room for the batches of more. Give the "
            "container more shared memory (docker run --shm-size 4g), or lower train.batch_size.",
            flush=True,
        )
    return min(fitting, wanted)


def fit(
    module: "LightningModule",
    train: "DataLoader | None",
    validation: "DataLoader | None",
    config: Settings,
    run_id: str,
    describe: Callable[[Any, Split], str] = lambda batch, split: "",
    checkpoints: Path | None = None,
    datamodule: "LightningDataModule | None" = None,
    **more: Any,
) -> None:
    """Fit the module and load the weights of its best epoch (of several workers, in worker 0 only).

    Args:
        module: Logs ``val_loss`` in its validation step.
        train, validation: Batches; None for the ones of `datamodule`.
        config: The `train` section is read.
        run_id: MLflow run to log to.
        describe: Returns a sentence about the rows of a batch, for the error of a loss that is not finite.
        checkpoints: Folder to continue an interrupted training from, the same in all workers; None:
            a temporary one.
        datamodule: Of the user's own: it gives the batches and its hooks are called.
        more: Arguments for Lightning's Trainer, about workers.

    Raises:
        TrainingError: ``val_loss`` is not logged, or was never finite; or the training loss is not finite.
    """
    import mlflow

    from mlops_lib.training.best_epoch import BestEpoch
    from mlops_lib.training.last_weights import LastWeights
    from mlops_lib.training.losses import Losses
    from mlops_lib.training.resume import Resume, continue_run

    with tempfile.TemporaryDirectory() as scratch:
        folder = checkpoints or Path(scratch)
        best = BestEpoch(str(folder))
        resume = Resume(folder, run_id, best, train)
        losses, last = Losses(describe, train, validation), LastWeights()
        trainer = _trainer(config, run_id, scratch, [last, resume, losses], best, more)
        if trainer.is_global_zero:
            mlflow.MlflowClient().log_param(run_id, "fit.device", device := _device(trainer))
            if device != "cpu":
                print(f"device {device}", flush=True)
        if found := resume.find():
            more = {"ckpt_path": found, "weights_only": False}
            if trainer.is_global_zero:
                continue_run(mlflow.MlflowClient(), resume.found, run_id)
        else:
            more = {}
        try:
            with _compiled(module) if config.train.compile else contextlib.nullcontext():
                if datamodule:
                    trainer.fit(module, datamodule=datamodule, **more)
                else:
                    trainer.fit(module, train, validation, **more)
        except (ValueError, RuntimeError) as error:  # of the module's own code, or of torch for it
            losses.explain(error)
            raise
        if trainer.is_global_zero:
            last.warn(trainer, module)
            _restore_best(module, best)
            if config.train.profiler:
                mlflow.MlflowClient().log_artifacts(run_id, str(Path(scratch, PROFILER)), PROFILER)
    if str(config.train.trainer.get("precision", "")).endswith("-true"):
        module.float()  # the logged model takes float32


def _trainer(
    config: Settings,
    run_id: str,
    scratch: str,
    first: "list[Callback]",
    best: "BestEpoch",
    more: dict[str, Any],
) -> "Trainer":
    from lightning.pytorch.callbacks import EarlyStopping
    from lightning.pytorch.loggers import MLFlowLogger
    from lightning.pytorch.profilers import PyTorchProfiler, SimpleProfiler

    from mlops_lib.training.progress import Progress

    logger = MLFlowLogger(
        experiment_name=config.mlflow.experiment,
        tracking_uri=tracking_uri(config),
        run_id=run_id,
        log_model=True,
    )
    callbacks = [
        *first,
        Progress(),
        EarlyStopping("val_loss", patience=config.train.patience, strict=False),
        *trainers.own_callbacks(config),
        best,
    ]
    if config.train.profiler:
        kind = SimpleProfiler if config.train.profiler == "simple" else PyTorchProfiler
        more = {**more, "profiler": kind(str(Path(scratch, PROFILER)), "profile")}
    return trainers.make(config, callbacks, logger=logger, default_root_dir=scratch, **more)


def _device(trainer: "Trainer") -> str:
    """The device that a trainer computes on: ``cpu``, ``cuda: NVIDIA H200``."""
    import torch

    device = trainer.strategy.root_device
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _inlined(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` from code outside torch: `Module.compile` has no effect on torch's own layers,
    whose code it skips."""
    return lambda *inputs, **named: call(*inputs, **named)


@contextlib.contextmanager
def _compiled(module: "LightningModule") -> Iterator[None]:
    """Compile the layers of a network within the block.

    Not its steps: torch cannot compile what Lightning does in `self.log`.

    Raises:
        TrainingError: There is no C++ compiler.
    """
    import torch
    from torch._inductor.exc import InvalidCxxCompiler

    layers = list(module.children())
    for one in layers:  # grows: the layers in a list are called one by one
        if isinstance(one, torch.nn.ModuleList | torch.nn.ModuleDict):
            layers.extend(one.children())
        one._compiled_call_impl = torch.compile(_inlined(one._call_impl))
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "inner_exception", error), InvalidCxxCompiler):
            raise TrainingError(
                "train.compile needs a C++ compiler. Install g++, or remove the setting."
            ) from error
        raise
    finally:
        for one in layers:
            one._compiled_call_impl = None


def _restore_best(module: "LightningModule", best: "BestEpoch") -> None:
    import torch

    kept = torch.load(best.require(), weights_only=True, map_location="cpu")
    module.load_state_dict(kept["state_dict"])
