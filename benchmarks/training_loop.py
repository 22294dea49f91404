"""The cost of the platform's training loop beside Lightning's own:
``python benchmarks/training_loop.py [rounds]``.

The same network learns from the same batches for the same epochs, by turns in one process, with the
platform's callbacks, metrics and checkpoints and with a bare Trainer that has the logger, early stopping and
the best checkpoint that a user of Lightning has. Both log to one MLflow store. Prints the processor seconds
of each, and the median of the ratios of neighbouring pairs.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import lightning.pytorch as pl
import mlflow
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger

from mlops_lib import config
from mlops_lib.loaders.batches import EpochLoader, TensorBatches
from mlops_lib.networks.tabular import TabularNetwork
from mlops_lib.settings import Settings
from mlops_lib.training import lightning_fit
from mlops_lib.training.trainer import quiet

ROWS, FEATURES, EPOCHS, BATCH = 8_000, 20, 6, 128


def loaders() -> tuple[EpochLoader, EpochLoader]:
    """Batches of random rows: (train, validation)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, FEATURES, generator=generator)
    y = (x[:, 0] > 0).float()
    rows = ROWS // 5
    return (
        EpochLoader(TensorBatches((x, y), BATCH, True, 0)),
        EpochLoader(TensorBatches((x[:rows], y[:rows]), BATCH, False, 0)),
    )


def network() -> TabularNetwork:
    pl.seed_everything(0, verbose=False)
    return TabularNetwork(n_features=FEATURES, n_classes=2)


def bare(settings: Settings, run_id: str) -> None:
    """What a user of Lightning writes."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            devices=1,
            logger=MLFlowLogger(tracking_uri=settings.mlflow.tracking_uri, run_id=run_id, log_model=True),
            callbacks=[
                EarlyStopping("val_loss", patience=EPOCHS),
                ModelCheckpoint(folder, monitor="val_loss"),
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        module = network()
        trainer.fit(module, *loaders())
        best = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
        module.load_state_dict(best["state_dict"])


def ours(settings: Settings, run_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lightning_fit.fit(network(), *loaders(), settings, run_id, checkpoints=Path(folder))


def seconds(fit: object, settings: Settings) -> float:
    """Processor seconds of one training."""
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    before = time.process_time()
    fit(settings, run_id)  # type: ignore[operator]
    return time.process_time() - before


def main(rounds: int = 7) -> None:
    quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        settings = config.load(
            Path(__file__).parents[1] / "config.yaml",
            {
                "mlflow.tracking_uri": uri,
                "train.max_epochs": EPOCHS,
                "train.patience": EPOCHS,
                "train.accelerator": "cpu",
            },
        )
        seconds(ours, settings), seconds(bare, settings)  # imports
        pairs = []
        for number in range(rounds):
            order = (ours, bare) if number % 2 else (bare, ours)
            taken = {fit: seconds(fit, settings) for fit in order}
            pairs.append((taken[ours], taken[bare]))
        ratios = [one / other for one, other in pairs]
        print(f"platform {statistics.median(one for one, _ in pairs):.2f} s of processor time, "
              f"bare Lightning {statistics.median(other for _, other in pairs):.2f} s")  # fmt: skip
        print(f"ratio {statistics.median(ratios):.3f}  ({', '.join(f'{one:.3f}' for one in sorted(ratios))})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
