"""Fit a network with Lightning in this process, which may be one worker of several."""

import logging
import os
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch.utils.data import DataLoader

# OpenMP's threads spin while they wait. On a busy machine that costs a small network most of its time
# (measured: 7 times on two cores). torch reads the variable when it is imported, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

#: Steps without a better validation loss before stopping, and most steps, where the settings choose by rows.
PATIENCE_STEPS, MAX_STEPS = 200, 3_000


def begin(seed: int) -> None:
    """Seed every source of randomness, and silence notices that do not help the reader of a notebook."""
    import lightning.pytorch as pl

    _quiet()
    pl.seed_everything(seed, workers=True, verbose=False)


def sized(config: Settings, rows: int) -> Settings:
    """The settings with those of `train` that are 0 chosen by the number of training rows.

    A small table needs small batches and more epochs: else the fit ends after a few steps.
    """
    train = config.train
    workers = train.processes * train.nodes
    power = max(4, min(8, (rows // 16).bit_length() - 1))
    batch_size = train.batch_size or max(2**power, 2 * workers)
    steps = -(-rows // batch_size)
    chosen = {
        "batch_size": batch_size,
        "patience": train.patience or max(5, min(30, -(-PATIENCE_STEPS // steps))),
        "max_epochs": train.max_epochs or max(50, min(300, -(-MAX_STEPS // steps))),
    }
    return config.model_copy(update={"train": train.model_copy(update=chosen)})


def batches(
    data_loader: BaseDataLoader, config: Settings, encoder: Encoder | InputEncoder, workers: int = 1
) -> "tuple[DataLoader, DataLoader]":
    """Shuffled training batches and validation batches; each of `workers` takes its share of a step's rows."""
    size, seed = -(-config.train.batch_size // workers), config.train.seed
    train = data_loader.torch("train", size, shuffle=True, seed=seed, encoder=encoder)
    return train, data_loader.torch("validation", size, encoder=encoder)


def fit(
    module: "LightningModule",
    train: "DataLoader",
    validation: "DataLoader",
    config: Settings,
    run_id: str,
    **more: Any,
) -> None:
    """Fit the module and load the weights of its best epoch (of several workers, in worker 0 only).

    Args:
        module: Logs ``val_loss`` in its validation step.
        train, validation: Batches.
        config: The `train` section is read.
        run_id: MLflow run to log to.
        more: Arguments for Lightning's Trainer, about workers.

    Raises:
        TrainingError: ``val_loss`` is not logged, or was never finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(config, run_id, folder, more)
        trainer.fit(module, train, validation)
        if trainer.is_global_zero:
            _restore_best(module, trainer)


def _trainer(config: Settings, run_id: str, folder: str, more: dict[str, Any]) -> "Trainer":
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(
        experiment_name=config.mlflow.experiment,
        tracking_uri=tracking_uri(config),
        run_id=run_id,
        log_model=True,
    )
    best = ModelCheckpoint(folder, "checkpoint-{epoch}", monitor="val_loss", mode="min", save_top_k=1)
    return pl.Trainer(
        max_epochs=config.train.max_epochs,
        accelerator=config.train.accelerator,
        logger=logger,
        callbacks=[EarlyStopping("val_loss", patience=config.train.patience), best, _lines()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"devices": 1, **more},  # train.processes decides the number, not the machine
    )


def _lines() -> Any:
    """Print one short line for each epoch."""
    from lightning.pytorch.callbacks import LambdaCallback

    def report(trainer: "Trainer", module: "LightningModule") -> None:
        if "val_loss" not in trainer.callback_metrics:
            raise TrainingError(
                f"{type(module).__name__} does not log 'val_loss', which early stopping and the choice of the best "
                "epoch need. Call self.log('val_loss', ...) in validation_step."
            )
        if not trainer.is_global_zero:
            return
        values = "  ".join(f"{name} {float(value):.4f}" for name, value in trainer.callback_metrics.items())
        print(f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  {values}", flush=True)

    return LambdaCallback(on_train_epoch_end=report)


def _restore_best(module: "LightningModule", trainer: "Trainer") -> None:
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)  # from _trainer
    # Lightning keeps the first checkpoint with any loss, and records NaN as infinity.
    if best.best_model_score is None or not torch.isfinite(best.best_model_score):
        raise TrainingError(
            "No checkpoint was kept: the validation loss was never finite. Lower the learning rate, or look for "
            "NaN and infinite values in the data."
        )
    kept = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
    module.load_state_dict(kept["state_dict"])


def _quiet() -> None:
    """Silence Lightning's notices about devices and worker counts."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*Your `IterableDataset` has `__len__` defined.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
    ):
        warnings.filterwarnings("ignore", message)
