"""Networks of many architectures, as their authors write them: forward takes columns by name."""

from typing import Any
from zlib import crc32

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional


class Toy(pl.LightningModule):
    """Training on the mean of a loss; a subclass defines `forward`."""

    def training_step(self, batch: tuple[Any, ...], _: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: tuple[Any, ...], _: int) -> None:
        self.log("val_loss", self.loss(batch), batch_size=len(batch[1]))

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        inputs, y, *_ = batch
        return functional.binary_cross_entropy(self.answer(inputs), y)

    def answer(self, inputs: Any) -> Tensor:
        return self(**inputs) if isinstance(inputs, dict) else self(inputs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Mlp(Toy):
    """The matrix of all features that have a place in it."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.nan_to_num(0.0).clamp(-5, 5)).squeeze(-1).sigmoid()


class Embeddings(Toy):
    """Two categories as embeddings, and a number."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.user = nn.Embedding(inputs["user"].codes, 4)
        self.film = nn.Embedding(inputs["film"].codes, 4)
        self.head = nn.Linear(9, 1)

    def forward(self, user: Tensor, film: Tensor, price: Tensor) -> Tensor:
        parts = [self.user(user), self.film(film), price.nan_to_num(0.0).unsqueeze(-1) / 10]
        return self.head(torch.cat(parts, 1)).squeeze(-1).sigmoid()


class WideAndDeep(Toy):
    """A linear model on codes beside a perceptron on a matrix; inputs by keyword alone."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.wide = nn.Embedding(inputs["film"].codes, 1)
        self.deep = nn.Sequential(nn.Linear(inputs["numbers"].shape[0], 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, *, film: Tensor, numbers: Tensor) -> Tensor:
        scores = self.wide(film) + self.deep(numbers.nan_to_num(0.0).clamp(-5, 5))
        return scores.squeeze(-1).sigmoid()


class ConvNet(Toy):
    """Images in an array column, with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1)
        )  # fmt: skip

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels.unsqueeze(1)).squeeze(-1).sigmoid()


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.two(self.one(x)))


class ResNet(Toy):
    """Residual blocks on images whose shape config.yaml gives: [1, 6, 6]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 4, 3, padding=1), nn.Sequential(Block(4), Block(4))
        self.head = nn.Linear(4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3))).squeeze(-1).sigmoid()


class Photos(Toy):
    """Residual blocks on files of images, beside a number."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.stem, self.blocks = (
            nn.Conv2d(inputs["photo"].shape[0], 4, 3, padding=1),
            nn.Sequential(Block(4), Block(4)),
        )
        self.head = nn.Linear(5, 1)

    def forward(self, photo: Tensor, price: Tensor) -> Tensor:
        seen = self.blocks(self.stem(photo)).mean((2, 3))
        return self.head(torch.cat([seen, price.nan_to_num(0.0).unsqueeze(-1)], 1)).squeeze(-1).sigmoid()


class PhotoConvNet(Toy):
    """Convolutions on grey images whose shape config.yaml gives."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1).sigmoid()


class Lstm(Toy):
    """The last output of an LSTM on sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, clicks: Tensor, clicks_lengths: Tensor) -> Tensor:
        outputs, _ = self.layer(clicks.unsqueeze(-1))
        last = (clicks_lengths - 1).clamp(min=0)
        return self.head(outputs[torch.arange(len(last)), last]).squeeze(-1).sigmoid()


class Gru(Lstm):
    """The same with a GRU, on sequences of a fixed length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(1, 8, batch_first=True)


class LastStep(Toy):
    """Two recurrent layers in both directions, and the last step: the answer depends on padding."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(1, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.second, self.head = nn.RNN(8, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, clicks: Tensor) -> Tensor:
        outputs, _ = self.second(self.layer(clicks.unsqueeze(-1))[0])
        return self.head(outputs[:, -1]).squeeze(-1).sigmoid()


class MultiTask(Toy):
    """A class and a number from one trunk, and the vector between them."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.user, self.trunk = nn.Embedding(inputs["user"].codes, 4), nn.Linear(5, 4)
        self.liked, self.stars = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, user: Tensor, price: Tensor) -> dict[str, Tensor]:
        vector = self.trunk(torch.cat([self.user(user), price.nan_to_num(0.0).unsqueeze(-1)], 1)).tanh()
        return {
            "liked": self.liked(vector).squeeze(-1).sigmoid(),
            "stars": self.stars(vector).squeeze(-1),
            "vector": vector,
            "closest": vector.argmax(1),
        }

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        found, y = self.answer(batch[0]), batch[1]
        return functional.binary_cross_entropy(found["liked"], y) + functional.mse_loss(found["stars"], 5 * y)


class Pair(Toy):
    """A tuple, from the matrix of all features."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.layer(x.nan_to_num(0.0).clamp(-5, 5))
        return found[:, 0].sigmoid(), found

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        return functional.binary_cross_entropy(self(batch[0])[0], batch[1])


class Tagger(Toy):
    """A number for each item of a sequence, and one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(1, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, clicks: Tensor, clicks_mask: Tensor) -> dict[str, Tensor]:
        found = self.head(self.layer(clicks.unsqueeze(-1))[0]).squeeze(-1).sigmoid()
        weights = clicks_mask.to(found.dtype)
        return {"items": found * weights, "all": (found * weights).sum(1) / weights.sum(1).clamp(min=1)}

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        return functional.binary_cross_entropy(self.answer(batch[0])["all"], batch[1])


class Detector(Toy):
    """As detectors give it: for each row a dict with any number of boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(36, 1)

    def forward(self, pixels: Tensor) -> list[dict[str, Tensor]]:
        found = []
        for image in pixels:
            places = (image > 1).nonzero()
            boxes = torch.cat([places, places + 1], 1).to(pixels.dtype)
            found.append(
                {"boxes": boxes, "scores": image[image > 1], "any": self.head(image.flatten()).sigmoid()[0]}
            )
        return found

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        return functional.binary_cross_entropy(torch.stack([one["any"] for one in self(batch[0])]), batch[1])


class PackedGru(Toy):
    """Packed sequences, which TorchScript can hold and torch.export cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, clicks: Tensor, clicks_lengths: Tensor) -> Tensor:
        lengths = clicks_lengths.clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            clicks.unsqueeze(-1), lengths, batch_first=True, enforce_sorted=False
        )
        _, hidden = self.layer(packed)
        return self.head(hidden[-1]).squeeze(-1).sigmoid()


class SmallTransformer(Toy):
    """Attention over sequences of any length, with a mask, and a number beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(9, 1)

    def forward(self, clicks: Tensor, clicks_mask: Tensor, price: Tensor) -> Tensor:
        known = clicks_mask | (torch.arange(clicks.shape[1], device=clicks.device) == 0)
        hidden = self.encoder(self.embed(clicks.unsqueeze(-1)), src_key_padding_mask=~known)
        weights = known.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return self.head(torch.cat([mean, price.nan_to_num(0.0).unsqueeze(-1)], 1)).squeeze(-1).sigmoid()


class TwoTower(Toy):
    """The product of two embeddings; forward takes the whole batch."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.user, self.item = (nn.Embedding(inputs[name].codes, 8) for name in ("user", "film"))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.user(batch["user"]) * self.item(batch["film"])).sum(-1).sigmoid()

    def answer(self, inputs: dict[str, Tensor]) -> Tensor:
        return self(inputs)


class Autoencoder(Toy):
    """Its prediction is the vector that it was given."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        width = inputs["vector"].shape[0]
        self.layers = nn.Sequential(nn.Linear(width, 2), nn.Tanh(), nn.Linear(2, width))

    def forward(self, vector: Tensor) -> Tensor:
        return self.layers(vector)

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        return functional.mse_loss(self(batch[0]), batch[0])


class Quantiles(Toy):
    """Three quantiles of the label for each row."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs["numbers"].shape[0], 8), nn.ReLU(), nn.Linear(8, 3))
        self.register_buffer("levels", torch.tensor([0.1, 0.5, 0.9]))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers.nan_to_num(0.0).clamp(-5, 5))

    def loss(self, batch: tuple[Any, ...]) -> Tensor:
        errors = batch[1].unsqueeze(-1) - self(batch[0])
        return torch.maximum(self.levels * errors, (self.levels - 1) * errors).mean()


def words(text: str) -> list[int]:
    """A tokenizer: a number from 1 to 50 for each word."""
    return [crc32(word.encode()) % 50 + 1 for word in text.split()]


class TextClassifier(Toy):
    """The mean of word embeddings, weighted by a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(51, 8), nn.Linear(8, 1)

    def forward(self, review: Tensor, review_mask: Tensor) -> Tensor:
        weights = review_mask.unsqueeze(-1).to(self.embed.weight.dtype)
        mean = (self.embed(review) * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.head(mean).squeeze(-1).sigmoid()


class TextOfFile(TextClassifier):
    """The same with the ids of a tokenizer in a file, which tells their number."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.embed = nn.Embedding(inputs["review"].codes, 8)


class PaddedMean(Toy):
    """The mean over padding too: a longer sequence in a batch changes the answers for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)

    def forward(self, clicks: Tensor) -> Tensor:
        return self.head(clicks.mean(1, keepdim=True)).squeeze(-1).sigmoid()


def visits(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A collate function: user numbers and squares of clicks, padded."""
    clicks = [torch.tensor(row["clicks"] or [0.0], dtype=torch.float32) ** 2 for row in rows]
    return {
        "user": torch.tensor([int(row["user"][1:]) for row in rows]),
        "squares": nn.utils.rnn.pad_sequence(clicks, batch_first=True),
    }


class Collated(Toy):
    """What `visits` makes."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        super().__init__()
        assert list(inputs) == ["user", "squares"]
        self.user, self.head = nn.Embedding(7, 4), nn.Linear(5, 1)

    def forward(self, user: Tensor, squares: Tensor) -> Tensor:
        total = squares.sum(1, keepdim=True) / 100
        return self.head(torch.cat([self.user(user), total], 1)).squeeze(-1).sigmoid()


class Branching(Toy):
    """Branches on a value, which no graph holds: it is pickled."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(n_features, 1), nn.Linear(n_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for row in x.nan_to_num(0.0).clamp(-5, 5):
            found.append(self.one(row) if row[0] > 0 else self.two(row))
        return torch.cat(found).sigmoid()
