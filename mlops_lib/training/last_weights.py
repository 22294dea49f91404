"""A callback that finds weights which change after the last epoch, such as averages that replace them."""

from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging

if TYPE_CHECKING:
    from torch import Tensor

#: The remedy for averages that no epoch has validated.
REMEDY = (
    "Use lightning.pytorch.callbacks:EMAWeightAveraging or WeightAveraging, or a callback like them, which validates the averaged "
    "weights and puts them into each checkpoint."
)


class LastWeights(pl.Callback):
    """Belongs before all other callbacks, whose `on_train_end` comes later, as the module's does."""

    def __init__(self) -> None:
        self._last: dict[str, Tensor] = {}

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Keep the weights of the last step."""
        self._last = {name: one.detach().cpu().clone() for name, one in module.named_parameters()}

    def warn(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Print that weights which changed since then are not kept."""
        if any(isinstance(one, WeightAveraging) for one in trainer.callbacks):  # type: ignore[attr-defined]
            return  # the checkpoint of each epoch has the averages
        changed = [
            name
            for name, one in module.named_parameters()
            if name in self._last and not torch.equal(one.detach().cpu(), self._last[name])
        ]
        if changed:
            print(
                f"WARNING: {len(changed)} parameters, such as {changed[0]}, were changed at the end of the training, by on_train_end or later. "
                f"These weights were not validated and are NOT kept; those of the best epoch are. {REMEDY}",
                flush=True,
            )
