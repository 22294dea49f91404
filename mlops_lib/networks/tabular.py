"""A network for tables of numbers and categories, with its preprocessing inside."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops_lib.networks.moments import Moments, Sample


class TabularNetwork(pl.LightningModule):
    """Several perceptrons with shared weights, beside a linear model.

    Numbers: signed log, standardised, 0 where missing, and their position in each of `pieces` parts
    (Gorishniy et al. 2022). Categories: an embedding of each code; codes without training rows have zeros.
    The perceptrons differ in the scale of each input and in their last layer (TabM, Gorishniy et al.
    2024); the prediction is their mean.

    Args:
        n_features: Columns of the input.
        n_classes: Classes of the label; 0 for regression, 2 for several yes/no labels.
        codes: Codes of each column, 0 for a number; empty: all are numbers.
        hidden: Width of each hidden layer.
        dropout: Share of hidden activations dropped while training, 0 to 1.
        members: Number of perceptrons.
        pieces: Parts of a number's range; 0: none, which leaves out the linear model too.
        embedding: Width of a category's embedding.
        learning_rate: Step size of AdamW (Loshchilov and Hutter 2019).
        weight_decay: Weight decay of AdamW.
        n_labels: Labels; several have 0 or 2 classes.
    """

    mean: Tensor
    scale: Tensor
    label_mean: Tensor
    label_scale: Tensor
    low: Tensor
    width: Tensor
    numbers: Tensor
    categories: Tensor
    first_code: Tensor

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        codes: Sequence[int] = (),
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.1,
        members: int = 8,
        pieces: int = 8,
        embedding: int = 8,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        n_labels: int = 1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.n_classes, self.n_labels, self.pieces, self.members = n_classes, n_labels, pieces, members
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        codes = tuple(codes) or (0,) * n_features
        counts = [count for count in codes if count]
        numbers, scores = n_features - len(counts), n_classes if n_classes > 2 else n_labels
        self.has_numbers, self.has_codes, self.scores = bool(numbers), bool(counts), scores
        # Only buffers with values, since torch.export cannot save an empty one.
        if counts:
            places = [[i for i, count in enumerate(codes) if bool(count) is kind] for kind in (False, True)]
            self.register_buffer("categories", torch.tensor(places[1]))
            self.register_buffer("first_code", torch.tensor([0, *counts]).cumsum(0)[:-1])
            if numbers:
                self.register_buffer("numbers", torch.tensor(places[0]))
        if numbers:
            self.register_buffer("mean", torch.zeros(numbers))
            self.register_buffer("scale", torch.ones(numbers))
            if pieces:
                self.register_buffer("low", torch.zeros(numbers, pieces))
                self.register_buffer("width", torch.ones(numbers, pieces))
        labels = (n_labels,) if n_labels > 1 else ()
        self.register_buffer("label_mean", torch.zeros(labels))
        self.register_buffer("label_scale", torch.ones(labels))
        wide = numbers * (2 + pieces if pieces else 1)
        self.has_linear = bool(pieces and numbers)
        if counts:
            self.embeddings = _codes(counts, embedding)
            self.code_scores = _codes(counts, scores, spread=0.0)
        if self.has_linear:
            self.linear = nn.Linear(wide, scores)
            nn.init.zeros_(self.linear.weight)
        widths = [wide + embedding * len(counts), *hidden]
        self.scales = nn.Parameter(
            torch.randn(members, widths[0]).sign() if members > 1 else torch.ones(1, widths[0])
        )
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        bound = widths[-1] ** -0.5
        self.heads = nn.Parameter(torch.empty(members, widths[-1], scores).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.zeros(members, scores))

    def fit_preprocessing(self, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Learn mean, scale and parts of each number, and mean and scale of a regression's label.

        Missing values are left out.
        """
        features, label, sample = Moments(), Moments(), Sample()
        for x, y, *_ in batches:
            label.add(y)
            if self.has_numbers:
                numbers = self._numbers_of(x)
                features.add(_signed_log(numbers))
                sample.add(numbers)
        if self.has_numbers:
            for buffer, value in zip((self.mean, self.scale), features.mean_and_scale(), strict=True):
                buffer.copy_(value)
        if self.has_linear:
            for buffer, value in zip((self.low, self.width), sample.segments(self.pieces), strict=True):
                buffer.copy_(value)
        if not self.n_classes:
            for buffer, value in zip(
                (self.label_mean, self.label_scale), label.mean_and_scale(), strict=True
            ):
                buffer.copy_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions for encoded features.

        Args:
            x: float32 [rows, features]; NaN where a number is missing.

        Returns:
            P(positive) [rows] for two classes, probabilities [rows, classes] for more, values [rows]
            for regression; of several labels [rows, labels].
        """
        outputs = self._outputs(x)
        if self.n_classes > 2:
            return outputs.softmax(-1).mean(1)
        mean = (outputs.sigmoid() if self.n_classes else outputs).mean(1)
        mean = mean.squeeze(-1) if self.n_labels == 1 else mean
        return mean if self.n_classes else mean * self.label_scale + self.label_mean

    def _outputs(self, x: Tensor) -> Tensor:
        """Scores [rows, members, scores]."""
        parts, linear = [], []
        if self.has_numbers:
            numbers = self._numbers_of(x)
            parts.append(((_signed_log(numbers) - self.mean) / self.scale).nan_to_num(0.0))
        if self.has_linear:
            within = ((numbers.unsqueeze(-1) - self.low) / self.width).clamp(0.0, 1.0).nan_to_num(0.0)
            parts += [within.flatten(1), numbers.isnan().to(x.dtype)]
            linear.append(self.linear(torch.cat(parts, 1)))
        if self.has_codes:
            code = x[:, self.categories].long() + self.first_code
            parts.append(self.embeddings(code).flatten(1))
            linear.append(self.code_scores(code).sum(1))
        inputs = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        hidden = self.layers(inputs.unsqueeze(1) * self.scales)
        outputs = (hidden.unsqueeze(-1) * self.heads).sum(2) + self.biases
        for one in linear:
            outputs = outputs + one.unsqueeze(1)
        return outputs

    def _numbers_of(self, x: Tensor) -> Tensor:
        return x[:, self.numbers] if self.has_codes else x

    def _loss(self, batch: tuple[Tensor, ...], together: bool = False) -> Tensor:
        """Mean loss of the members, or with `together` the loss of their mean."""
        x, y, *weights = batch
        outputs = self._outputs(x)
        if self.n_labels > 1:
            each = self._loss_of_labels(outputs, y.unsqueeze(1), together)
        elif self.n_classes:
            logs = outputs.log_softmax(-1) if self.n_classes > 2 else _both(outputs)
            if together:
                logs = logs.logsumexp(1, keepdim=True)
                logs = logs - logs.logsumexp(-1, keepdim=True)
            at = y.long()[:, None, None].expand(-1, logs.shape[1], 1)
            each = -logs.gather(2, at).squeeze(-1).mean(1)
        else:
            outputs = outputs.squeeze(-1)
            outputs = outputs.mean(1, keepdim=True) if together else outputs
            each = (outputs - ((y - self.label_mean) / self.label_scale).unsqueeze(1)).square().mean(1)
        if not weights:
            return each.mean()
        return (each * weights[0]).sum() / weights[0].sum().clamp(min=1e-12)

    def _loss_of_labels(self, outputs: Tensor, y: Tensor, together: bool) -> Tensor:
        """Loss of each row [rows], the mean over members and labels; y is [rows, 1, labels]."""
        if self.n_classes and together:
            mean = outputs.sigmoid().mean(1, keepdim=True)
            losses = functional.binary_cross_entropy(mean, y, reduction="none")
        elif self.n_classes:
            losses = functional.binary_cross_entropy_with_logits(
                outputs, y.expand_as(outputs), reduction="none"
            )
        else:
            outputs = outputs.mean(1, keepdim=True) if together else outputs
            losses = (outputs - (y - self.label_mean) / self.label_scale).square()
        return losses.mean((1, 2))

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        self.log("val_loss", self._loss(batch, together=True), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)


def _codes(counts: Sequence[int], width: int, spread: float = 0.3) -> nn.Embedding:
    """One table for the codes of all categories; missing and unknown values start with zeros."""
    table = nn.Embedding(sum(counts), width)
    nn.init.normal_(table.weight, std=spread) if spread else nn.init.zeros_(table.weight)
    first = torch.tensor([0, *counts]).cumsum(0)[:-1]
    with torch.no_grad():
        for at in first.tolist():
            table.weight[at : at + 2] = 0.0
    return table


def _both(scores: Tensor) -> Tensor:
    """Log probabilities of both classes [rows, members, 2]."""
    return torch.cat([functional.logsigmoid(-scores), functional.logsigmoid(scores)], -1)


def _signed_log(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): shortens long tails, keeps order, sign and zero."""
    return x.sign() * x.abs().log1p()
