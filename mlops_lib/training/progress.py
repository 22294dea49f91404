"""A callback: one line for an epoch with the time left, and time and memory of each epoch as metrics."""

import resource
import sys
import time

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

#: Most lines of a training whose epochs are short; an epoch that ends this long after
#: the last line has one anyway.
MAX_LINES, LONG_S = 30, 10.0
#: Metrics of each epoch that the platform adds to those of the module.
SECONDS, MEMORY = "epoch_seconds", "peak_memory_mb"


class Progress(Callback):
    """Prints ``epoch 3/50  train_loss 0.5000  val_loss 0.4000  2.1 s  at most 99 s left``."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._first = trainer.current_epoch
        self._line = ""
        self._started = self._printed = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._epoch_started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        now, number, most = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or 0
        own = {
            name: value for name, value in trainer.callback_metrics.items() if name not in (SECONDS, MEMORY)
        }
        seconds = now - self._epoch_started
        module.log(SECONDS, seconds)
        module.log(MEMORY, peak_memory_mb(module.device))
        if not trainer.is_global_zero:
            return
        each = (now - self._started) / (number - self._first)
        values = [f"{name} {float(value):.4f}" for name, value in own.items()]
        left = f"at most {_duration(each * (most - number))} left" if number < most else ""
        self._line = "  ".join(filter(None, [f"epoch {number:>3}/{most}", *values, _duration(seconds), left]))
        every = -(-most // MAX_LINES)
        if number == self._first + 1 or number % every == 0 or now - self._printed > LONG_S:
            self._show(now)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._show(time.monotonic())  # the last epoch, whatever ended the training

    def _show(self, now: float) -> None:
        if self._line:
            print(self._line, flush=True)
        self._line, self._printed = "", now


def peak_memory_mb(device: torch.device) -> float:
    """Most memory so far in MB (2**20 bytes): of torch on a GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _duration(seconds: float) -> str:
    """0.2 s, 40 s, 12 min, 3.2 h."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
