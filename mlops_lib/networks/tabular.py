"""A small network for tables of numbers, with its preprocessing inside."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional


class TabularNetwork(pl.LightningModule):
    """Signed log, standardisation and mean imputation, then a multi-layer perceptron.

    Args:
        n_features: Columns of the input.
        n_classes: Classes of the label; 0 for regression.
        hidden: Width of each hidden layer.
        dropout: Share of hidden activations dropped while training, 0 to 1.
        learning_rate: Step size of AdamW (Loshchilov and Hutter 2019).
        weight_decay: Weight decay of AdamW.
    """

    mean: Tensor
    scale: Tensor
    label_mean: Tensor
    label_scale: Tensor

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.1,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.n_classes = n_classes
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("label_mean", torch.zeros(()))
        self.register_buffer("label_scale", torch.ones(()))
        widths = [n_features, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_classes if n_classes > 2 else 1))

    def fit_preprocessing(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn mean and scale of each feature, and of a regression's label, from the training batches.

        Missing values are left out.
        """
        features, label = _Moments(), _Moments()
        for x, y in batches:
            features.add(_signed_log(x))
            label.add(y)
        for buffer, value in zip((self.mean, self.scale), features.mean_and_scale(), strict=True):
            buffer.copy_(value)
        if not self.n_classes:
            for buffer, value in zip(
                (self.label_mean, self.label_scale), label.mean_and_scale(), strict=True
            ):
                buffer.copy_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions for raw features.

        Args:
            x: float32 [rows, features]; NaN where a value is missing.

        Returns:
            P(positive) [rows] for two classes, probabilities [rows, classes] for more, values [rows]
            for regression.
        """
        outputs = self._outputs(x)
        if self.n_classes > 2:
            return outputs.softmax(-1)
        return outputs.sigmoid() if self.n_classes else outputs * self.label_scale + self.label_mean

    def _outputs(self, x: Tensor) -> Tensor:
        standard = ((_signed_log(x) - self.mean) / self.scale).nan_to_num(0.0)
        outputs = self.layers(standard)
        return outputs if self.n_classes > 2 else outputs.squeeze(-1)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        outputs = self._outputs(x)
        if self.n_classes > 2:
            return functional.cross_entropy(outputs, y.long())
        if self.n_classes:
            return functional.binary_cross_entropy_with_logits(outputs, y)
        return functional.mse_loss(outputs, (y - self.label_mean) / self.label_scale)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)


def _signed_log(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): shortens long tails, keeps order, sign and zero."""
    return x.sign() * x.abs().log1p()


class _Moments:
    """Mean and standard deviation of columns, batch by batch, NaN left out."""

    def __init__(self) -> None:
        self.count = torch.zeros((), dtype=torch.long)
        self.total = torch.zeros((), dtype=torch.double)
        self.squares = torch.zeros((), dtype=torch.double)

    def add(self, batch: Tensor) -> None:
        values = batch.double().nan_to_num(0.0)
        self.count = self.count + (~batch.isnan()).sum(0)
        self.total = self.total + values.sum(0)
        self.squares = self.squares + (values**2).sum(0)

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """A constant column gets scale 1, so that it becomes zero and nothing is divided by zero."""
        count = self.count.clamp(min=1)
        mean = self.total / count
        variance = (self.squares / count - mean**2).clamp(min=0)
        return mean, torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance))
