"""The network: two convolutions and a linear layer, on grey images of 8 x 8 pixels."""

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss


class Digits(pl.LightningModule):
    """Probability of each digit.

    Args:
        n_classes: Number of digits.
    """

    def __init__(self, n_classes: int, channels: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * channels * 16, n_classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """float32 [rows, digits] of images, float32 [rows, 1, 8, 8] from 0 to 1."""
        return self.layers(image).softmax(-1)

    def training_step(self, batch, _) -> Tensor:
        image, digit = batch
        return nll_loss(self(image).clamp(min=1e-9).log(), digit)

    def validation_step(self, batch, _) -> None:
        self.log("val_loss", self.training_step(batch, _), batch_size=len(batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.003)
