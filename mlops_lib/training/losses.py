"""A callback that checks the losses: a training loss that is not finite ends the training,
with the rows behind it."""

import math
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import GpuStoppedError, MlopsError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pandas as pd

#: Rows and columns that an error names.
MAX_NAMED = 5
#: Rows that tell the usual values of a column, and the distance from them that counts as extreme,
#: in usual distances.
SAMPLE_ROWS, EXTREME = 2_000, 1_000.0
REMEDY = "Lower the learning rate, or clip gradients: train.trainer: {gradient_clip_val: 1.0}."
#: What the text of an error of torch holds, and the cause and remedy to put before it.
KNOWN = {
    "Expected more than 1 value per channel": "Batch normalisation needs two rows or more in a batch. Take a larger "
    "train.batch_size, or more rows.",
    "to be on the same device": "The network uses a tensor of the CPU beside its inputs on the GPU. Make it with "
    "device=x.device, or keep it with self.register_buffer.",
    "out of memory": "The GPU's memory has no room for a batch. Lower train.batch_size; train.trainer: "
    "{accumulate_grad_batches: 4} makes one step of four batches.",
    "Integer division with addcdiv": "On a GPU, WeightAveraging cannot average whole numbers, such as the counter of batch "
    "normalisation. Take lightning.pytorch.callbacks:EMAWeightAveraging.",
}
REMEDY_GPU = (
    "The GPU does not say where in the code. Train with train.accelerator: cpu for the error of the code itself. This "
    "process can no longer use the GPU: restart the notebook's kernel before the next training."
)
REMEDY_DATA = "Correct them in the data or in data.prepare; a network must replace missing numbers, which are NaN, itself."


class Losses(Callback):
    """Raises TrainingError before the backward pass of a loss that is not finite, and without ``val_loss``.

    Args:
        describe: Returns a sentence about the rows of a batch; called with the batch and its split.
        train, validation: The loaders of the batches; None for those of a data module.
    """

    def __init__(
        self, describe: Callable[[Any, Split], str], train: Any = None, validation: Any = None
    ) -> None:
        self._describe, self._loaders = describe, {"train": train, "validation": validation}
        self._batch: Any = None
        self._split: Split = "train"
        self._epoch = self._number = 0
        self._batches: float = 0

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch, self._split, self._number = batch, "train", batch_idx
        self._epoch, self._batches = trainer.current_epoch, trainer.num_training_batches

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._batch, self._split, self._number = batch, "validation", batch_idx
        self._epoch, self._batches = trainer.current_epoch, trainer.num_val_batches[dataloader_idx]

    def on_before_backward(self, trainer: Trainer, module: LightningModule, loss: torch.Tensor) -> None:
        # With float16, the scaled loss may overflow; the scaler then skips the step
        # and takes a smaller scale.
        if trainer.scaler is None and not bool(torch.isfinite(loss).all()):
            raise TrainingError(f"The training loss is {_value(loss)} {self._about()}")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if "val_loss" not in trainer.callback_metrics:
            raise TrainingError(
                f"{type(module).__name__} does not log 'val_loss', which early stopping and the choice of the best "
                "epoch need. Call self.log('val_loss', ...) in validation_step."
            )
        loss = trainer.callback_metrics["val_loss"]
        # A network that diverged has finite rows: early stopping ends it, and the best epoch before is kept.
        if not bool(torch.isfinite(loss)):
            for number, batch in enumerate(trainer.val_dataloaders or []):
                if _has_gaps(batch):
                    self._batch, self._number = batch, number
                    raise TrainingError(f"val_loss is {_value(loss)} {self._about()}")

    def explain(self, error: Exception) -> None:
        """Raise TrainingError if a step raised `error` for one row, or for values that are not finite."""
        for text, explanation in KNOWN.items():
            if text in str(error):
                raise TrainingError(f"{explanation} The error of torch: {error}") from error
        if isinstance(error, torch.AcceleratorError):
            first, *_ = str(error).splitlines()
            rows = f" {self._about()}" if self._find_gaps_on_cpu() else "."
            raise GpuStoppedError(f"The GPU stopped with {first}{rows} {REMEDY_GPU}") from error
        if not isinstance(error, MlopsError) and _has_gaps(self._batch):
            raise TrainingError(
                f"The network raised {type(error).__name__}: {error} {self._about()}"
            ) from error

    def _find_gaps_on_cpu(self) -> bool:
        """Make the first batch with gaps, up to the current one, the current one; return whether there is one.

        The tensors of a GPU that stopped cannot be read, and it tells later than it stops. So the batches are made again.
        """
        loader = self._loaders[self._split]
        counting = hasattr(getattr(loader, "dataset", None), "epoch")
        if loader is None or (self._split == "train" and not counting):
            return False  # a shuffled loader of the user's own makes other batches
        if counting:
            loader.dataset.epoch -= 1  # it counted this epoch when the epoch began
        for number, batch in enumerate(islice(loader, self._number + 1)):
            if _has_gaps(batch):
                self._batch, self._number = batch, number
                return True
        return False

    def _about(self) -> str:
        place = f"in epoch {self._epoch + 1}, {self._split} batch {self._number + 1} of {self._batches}."
        return f"{place} {self._describe(self._batch, self._split)} {REMEDY}"


def _has_gaps(batch: Any) -> bool:
    """Whether the features of a batch hold NaN or infinity: values that are missing, mostly."""
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    tensors = inputs.values() if isinstance(inputs, dict) else [inputs]
    return any(
        isinstance(one, torch.Tensor) and one.is_floating_point() and not bool(torch.isfinite(one).all())
        for one in tensors
    )


def describe(batch: Any, split: Split, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder) -> str:
    """The keys of a batch's rows, and their columns with missing and with extreme values.

    Args:
        batch: ``(x, y)`` or ``(x, y, weights)``; of another form, nothing can be said.
        split: The split of the rows.
        data_loader, encoder: Made the batch.
    """
    try:
        rows = _rows_of(batch, split, data_loader, encoder)
    except (MlopsError, TypeError, ValueError, AttributeError, IndexError):  # a batch of the user's own form
        rows = None
    if rows is None or rows.empty:
        return "The rows of the batch cannot be named."
    schema = data_loader.schema
    named = rows[schema.key] if schema.key else rows.index
    found = [f"Rows with its values: {schema.key or 'number'} {listed(named, MAX_NAMED)}."]
    usual = data_loader.sample("train", SAMPLE_ROWS)
    columns = [name for name in (*schema.features, *schema.labels, schema.weight) if name in rows.columns]
    if missing := [f"{name!r} ({int(n)} rows)" for name in columns if (n := rows[name].isna().sum())]:
        found.append(f"Missing values: {listed(missing, MAX_NAMED)}.")
    worst = sorted((one for name in columns if (one := _worst(rows[name], usual[name]))), reverse=True)
    extreme = [
        f"{rows[name].iloc[at]:g} in {name!r} ({schema.key or 'row'} {named.iloc[at] if schema.key else named[at]})"
        for distance, name, at in worst[:MAX_NAMED]
    ]
    found.append(f"Extreme values: {', '.join(extreme)}." if extreme else "No column has an extreme value.")
    found += [REMEDY_DATA] if missing or extreme else []
    return " ".join(found)


def _rows_of(
    batch: Any, split: Split, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder
) -> "pd.DataFrame":
    """The raw rows of a batch, found by their encoded values: batches carry no keys."""
    import pandas as pd

    from mlops_lib.loaders.batches import finish_of, to_tensors

    wanted, finish = _columns(batch), finish_of(encoder)
    parts, count = [], 0
    for part in data_loader.parts(split):
        part = part.set_axis(range(count, count + len(part)))
        count += len(part)
        for at in range(0, len(part), SAMPLE_ROWS):
            some = part.iloc[at : at + SAMPLE_ROWS]
            made = to_tensors(some, data_loader.schema, encoder, split)
            found = _columns(finish(made) if finish else made)
            # Sequences are padded to the longest of each batch.
            widths = [min(one.shape[1], other.shape[1]) for one, other in zip(wanted, found, strict=True)]
            keys = set(_as_bytes(wanted, widths))
            parts.append(some[np.array([one in keys for one in _as_bytes(found, widths)])])
    return pd.concat(parts)


def _columns(batch: Any) -> list[np.ndarray]:
    """Features and label of a batch, each [rows, values]."""
    inputs, y, *_ = batch
    tensors = [*(inputs.values() if isinstance(inputs, dict) else [inputs]), y]
    return [one.detach().cpu().numpy().reshape(len(one), -1).astype(np.float64) for one in tensors]


def _as_bytes(columns: list[np.ndarray], widths: list[int]) -> list[bytes]:
    both = np.hstack([one[:, :width] for one, width in zip(columns, widths, strict=True)])
    return [row.tobytes() for row in both]


def _worst(values: "pd.Series", usual: "pd.Series") -> tuple[float, str, int] | None:
    """Distance, column and position of the value that is furthest from the usual ones;
    None if it is not extreme."""
    if values.dtype.kind not in "iuf" or not len(values):
        return None
    known = usual.dropna().to_numpy("float64")
    known = known[np.isfinite(known)]
    middle = float(np.median(known)) if len(known) else 0.0
    with np.errstate(over="ignore"):
        spread = float(np.quantile(np.abs(known - middle), 0.95)) if len(known) else 0.0
        distance = np.abs(values.to_numpy("float64") - middle) / max(spread, abs(middle) * 1e-3, 1e-12)
    distance[np.isnan(distance)] = 0.0
    at = int(distance.argmax())
    return (float(distance[at]), str(values.name), at) if distance[at] > EXTREME else None


def _value(loss: torch.Tensor) -> str:
    value = float(loss.detach().float().mean())
    return "NaN" if math.isnan(value) else f"{value:g}"
