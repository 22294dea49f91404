"""A small convolutional network for images, where no better one is at hand."""

from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops_lib.networks.moments import Moments

#: Most blocks; each halves the sides of the image.
MAX_BLOCKS = 4


class ImageNetwork(pl.LightningModule):
    """Blocks of two convolutions, the mean over the image, and a linear layer.

    Args:
        inputs: The one input, of images.
        n_classes: Classes of the label; 0 for regression, 2 for several yes/no labels.
        n_labels: Labels.
        width: Channels of the first block; each further one has twice as many.
        dropout: Share of the last activations dropped while training, 0 to 1.
        learning_rate, weight_decay: Of AdamW (Loshchilov and Hutter 2019).
    """

    label_mean: Tensor
    label_scale: Tensor

    def __init__(
        self,
        inputs: Mapping[str, Any],
        n_classes: int,
        n_labels: int = 1,
        width: int = 16,
        dropout: float = 0.1,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__()
        self.n_classes, self.n_labels = n_classes, n_labels
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        channels, *sides = next(iter(inputs.values())).shape
        layers: list[nn.Module] = []
        for _ in range(max(min(min(sides).bit_length() - 2, MAX_BLOCKS), 1)):
            for given in (channels, width):
                layers += [
                    nn.Conv2d(given, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            channels, width = width, 2 * width
        self.layers = nn.Sequential(*layers)
        scores = n_classes if n_classes > 2 else n_labels
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, scores))
        labels = (n_labels,) if n_labels > 1 else ()
        self.register_buffer("label_mean", torch.zeros(labels))
        self.register_buffer("label_scale", torch.ones(labels))

    def fit_preprocessing(self, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Learn mean and scale of a regression's label."""
        if self.n_classes:
            return
        label = Moments()
        for _, y, *_ in batches:
            label.add(y)
        for buffer, value in zip((self.label_mean, self.label_scale), label.mean_and_scale(), strict=True):
            buffer.copy_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions for images.

        Args:
            x: float32 [rows, channels, height, width], from 0 to 1.

        Returns:
            P(positive) [rows] for two classes, probabilities [rows, classes] for more,
            values [rows] for regression; of several labels [rows, labels].
        """
        scores = self._scores(x)
        if self.n_classes > 2:
            return scores.softmax(-1)
        return scores.sigmoid() if self.n_classes else scores * self.label_scale + self.label_mean

    def _scores(self, x: Tensor) -> Tensor:
        scores = self.head(self.layers((x - 0.5) * 4).mean((2, 3)))
        return scores if self.n_classes > 2 or self.n_labels > 1 else scores.squeeze(-1)

    def _loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, y, *weights = batch
        scores = self._scores(x)
        if self.n_classes > 2:
            each = functional.cross_entropy(scores, y.long(), reduction="none")
        elif self.n_classes:
            each = functional.binary_cross_entropy_with_logits(scores, y, reduction="none")
        else:
            each = (scores - (y - self.label_mean) / self.label_scale).square()
        each = each.mean(1) if each.ndim > 1 else each
        if not weights:
            return each.mean()
        return (each * weights[0]).sum() / weights[0].sum().clamp(min=1e-12)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
