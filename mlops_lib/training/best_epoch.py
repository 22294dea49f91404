"""A callback that keeps the weights of the epoch with the lowest validation loss."""

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mlops_lib.errors import TrainingError


class BestEpoch(ModelCheckpoint):
    """A class of its own, so that a ModelCheckpoint of the user's does not take its place.

    Args:
        folder: Where the file of the best epoch is.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder, "checkpoint-{epoch}", monitor="val_loss", mode="min", save_top_k=1)

    def require(self) -> str:
        """The file of the best epoch.

        Raises:
            TrainingError: No validation loss was finite, or there was no validation.
        """
        if self.best_model_score is None:
            raise TrainingError(
                "Training ended before its first validation, so no weights were kept. Look at max_steps, max_time, "
                "val_check_interval and check_val_every_n_epoch in train.trainer."
            )
        # Lightning keeps the first checkpoint with any loss, and records NaN as infinity.
        if not torch.isfinite(self.best_model_score):
            raise TrainingError(
                "No checkpoint was kept: the validation loss was never finite. Lower the learning rate, or look for "
                "NaN and infinite values in the data."
            )
        return self.best_model_path
