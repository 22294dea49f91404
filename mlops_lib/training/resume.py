"""A callback that saves the state of a training between two epochs, and continues from it.

The state is saved when an epoch begins and not when one ends: only then has every scheduler made its step.
It holds the random states of all workers, so that dropout and shuffling go on as they would have.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.seed import (
    _collect_rng_states,
    _set_rng_states,
    pl_worker_init_function,
)
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from mlops_lib.training.best_epoch import BestEpoch

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FILE, KEPT = "last.ckpt", "best-{epoch}.ckpt"
#: In the checkpoint: what Lightning does not save.
STATE = "mlops"
#: Largest share of the training's time that saving may take. Of a training with short epochs,
#: not every one is saved.
MAX_SHARE = 0.01
#: On a run: the interrupted run that it continues.
RESUMED_TAG = "mlops.resumed_from"


class Resume(Callback):
    """Saves and restores the training.

    Args:
        folder: For the checkpoint; the same in all workers.
        run_id: MLflow run of this training.
        best: Keeps the weights of the best epoch in `folder`.
        train: Loader of the training batches.
    """

    def __init__(self, folder: Path, run_id: str, best: BestEpoch, train: Any) -> None:
        self.folder, self.run_id, self.best, self.train = folder, run_id, best, train
        self.found: dict[str, Any] = {}
        self._saving = False
        self._spent = self._last = 0.0

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def find(self) -> str | None:
        """The checkpoint to continue from. None: there is none, or it cannot be used;
        the reason is printed."""
        if not self.path.exists():
            return None
        try:
            # The folder is as trusted as the project's code, and callbacks may save any object.
            content = torch.load(self.path, weights_only=False, map_location="cpu")
            state = content[STATE]
            self._restore_best(state)
        except Exception as error:  # torch.load raises anything for a damaged file
            print(f"Training starts afresh: its checkpoint {self.path} cannot be used ({error}).", flush=True)
            return None
        self.found = {**state, "epochs": content["epoch"]}
        if dataset := self._counting_dataset():
            dataset.epoch = state["data_epoch"]
        return str(self.path)

    def _counting_dataset(self) -> Any:
        """The platform's own dataset, which has a new order in each epoch that it counts; else None."""
        dataset = getattr(self.train, "dataset", None)
        return dataset if hasattr(dataset, "epoch") else None

    def _restore_best(self, state: dict[str, Any]) -> None:
        """Put the best weights at the time of the checkpoint back in place; files of later epochs go."""
        if state["folder"] != str(self.folder):
            raise ValueError(f"it was written for {state['folder']}")
        if not state["best"]:
            return
        best, kept = Path(state["best"]), self.folder / state["kept"]
        if not best.exists():
            _link(kept, best)
        for other in best.parent.glob("*.ckpt"):
            if other not in (best, self.path) and not other.name.startswith(KEPT.partition("{")[0]):
                other.unlink(missing_ok=True)  # all workers do this at once

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.found:
            _set_rng_states(self.found["random"][trainer.global_rank])
        elif self.train is not None and trainer.global_rank:
            # Lightning has seeded all workers alike. Workers that all drop the same units, or add the same noise, learn less.
            # Those of a data module stay alike: its samplers may share rows out by an order that all must draw.
            pl_worker_init_function(0, trainer.global_rank)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._started = time.monotonic()
        self._first = trainer.current_epoch
        if not self.found:
            return
        # The checkpoint is between two epochs, so there is nothing that Lightning must make up for.
        trainer.fit_loop.restarting = False
        trainer.should_stop = self.found["should_stop"]
        if trainer.is_global_zero:
            print(
                f"Training continues after epoch {self.found['epochs']}, the last that was saved of run "
                f"{self.found['run_id']}. To start afresh, delete {self.folder}.",
                flush=True,
            )
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self.best)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        now = time.monotonic()
        due = self._spent + self._last <= MAX_SHARE * (now - self._started)
        if trainer.current_epoch == self._first or not trainer.strategy.broadcast(due):
            return
        self._save(trainer)
        self._last = time.monotonic() - now
        self._spent += self._last

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self._saving:
            return
        random: list[Any] = [_collect_rng_states()]
        if trainer.world_size > 1:
            random = random * trainer.world_size
            distributed.all_gather_object(random, random[0])
        checkpoint[STATE] = {
            "random": random,
            "data_epoch": dataset.epoch if (dataset := self._counting_dataset()) else 0,
            "should_stop": trainer.should_stop,
            "run_id": self.run_id,
            "folder": str(self.folder),
            "best": self.best.best_model_path,
            "kept": self._kept_name(trainer),
            "steps": trainer.fit_loop.epoch_loop._batches_that_stepped,
        }

    def _kept_name(self, trainer: Trainer) -> str:
        return KEPT.format(epoch=trainer.current_epoch)

    def _save(self, trainer: Trainer) -> None:
        partial, kept = self.folder / f".{FILE}", self.folder / self._kept_name(trainer)
        if trainer.is_global_zero and self.best.best_model_path:
            # Lightning deletes this file with the next better epoch, which the checkpoint will not know.
            _link(Path(self.best.best_model_path), kept)
        self._saving = True
        try:
            trainer.save_checkpoint(partial)
        finally:
            self._saving = False
        if trainer.is_global_zero:
            os.replace(partial, self.path)
            for old in self.folder.glob(KEPT.format(epoch="*")):
                if old != kept:
                    old.unlink()


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def continue_run(client: "MlflowClient", state: dict[str, Any], run_id: str) -> None:
    """Copy the metrics of the epochs that are not repeated from the interrupted run, and end that run.

    Args:
        client: Of MLflow.
        state: `Resume.found`.
        run_id: The run that continues.
    """
    from mlflow.exceptions import MlflowException

    before = state["run_id"]
    client.set_tag(run_id, RESUMED_TAG, before)
    client.log_param(run_id, "fit.resumed_after_epoch", state["epochs"])
    try:
        run = client.get_run(before)
        for name in run.data.metrics:
            points = [one for one in client.get_metric_history(before, name) if one.step < state["steps"]]
            for start in range(0, len(points), 1000):
                client.log_batch(run_id, metrics=points[start : start + 1000])
        if run.info.status == "RUNNING":  # it was killed: the lock on the folder is ours
            client.set_terminated(before, "KILLED")
    except MlflowException as error:
        print(
            f"The epochs before have no metrics in this run: run {before} cannot be read ({error.message})."
        )
