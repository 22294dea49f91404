"""Networks and callbacks that use what Lightning's users use: schedulers, several optimizers, dropout, own metrics."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from mlops_lib.loaders.batches import to_tensors


class Scheduled(pl.LightningModule):
    """Batch normalisation, dropout, a learning rate that ReduceLROnPlateau lowers, and a metric of its own."""

    def __init__(self, n_features: int, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_features), nn.Linear(n_features, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1).sigmoid()

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.binary_cross_entropy(self(x), y)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        x, y = batch
        self.log("val_loss", self._loss(batch), batch_size=len(x))
        self.log("val_hits", ((self(x) > 0.5) == y.bool()).float().mean(), batch_size=len(x))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.05)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


class StoppedGpu(Scheduled):
    """A network whose GPU stops at a missing value: the error says nothing, and the batch can no longer be read."""

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return [one.to("meta") for one in batch] if batch[0].isnan().any() else batch

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        if batch[0].is_meta:
            raise torch.AcceleratorError(
                "CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert'"
            )
        return super()._loss(batch)


class Squares(Scheduled):
    """Learns a number by its squared error."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.mse_loss(self(batch[0]), batch[1])


class Named(Scheduled):
    """Takes two columns by their names."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return super().forward(torch.stack([x, z], 1))

    def _loss(self, batch: tuple[dict[str, Tensor], Tensor]) -> Tensor:
        return nn.functional.binary_cross_entropy(self(**batch[0]), batch[1])

    def validation_step(self, batch: tuple[dict[str, Tensor], Tensor], _: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch[1]))


class Mixing(Scheduled):
    """Adds the mean of the batch, with a weight that is zero before the training."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.register_buffer("share", torch.zeros(1))

    def on_train_start(self) -> None:
        self.share += 1

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.share * x.mean(0))


class MixingByName(Named):
    """The same with two columns by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(1))

    def on_train_start(self) -> None:
        self.share += 1

    def forward(self, frequency: Tensor, quantity: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(frequency + self.share * frequency.mean(0), quantity)


class TwoOptimizers(Scheduled):
    """One optimizer for the first layers and one for the last, stepped by hand, and a scheduler that steps by batch."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.automatic_optimization = False

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss = self._loss(batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        self.lr_schedulers().step()
        return loss

    def configure_optimizers(self) -> Any:
        first = torch.optim.SGD(self.layers[:-1].parameters(), lr=0.05, momentum=0.9)
        last = torch.optim.Adam(self.layers[-1].parameters(), lr=0.05)
        return [first, last], [torch.optim.lr_scheduler.ExponentialLR(first, 0.99)]


class Interrupted(Scheduled):
    """In the fourth epoch, TOY_INTERRUPT makes it raise, or make this file and wait to be killed."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 3 and (way := os.environ.get("TOY_INTERRUPT")):
            if way == "raise":
                raise RuntimeError("interrupted")
            Path(way).touch()
            time.sleep(600)


class Witness(pl.Callback):
    """Writes down learning rates, number of batches and gradient clipping of each epoch."""

    def __init__(self, file: str = "witness.txt") -> None:
        self.file, self.batches = file, 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        with Path(self.file).open("a") as file:
            file.write(f"{trainer.current_epoch} {rate:.6g} {self.batches} {trainer.gradient_clip_val}\n")

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches = state["batches"]


def no_callback() -> object:
    """Makes an object that is no callback."""
    return object()


class OwnBatches(pl.LightningDataModule):
    """Shuffled batches of the loader's rows by torch's own DataLoader; `form` spoils them."""

    def __init__(self, loader: Any, encoder: Any, batch_size: int, form: str = "") -> None:
        super().__init__()
        self.loader, self.encoder, self.batch_size, self.form = loader, encoder, batch_size, form

    def setup(self, stage: str) -> None:
        if self.form == "setup":
            raise OSError("no such file")
        self.tensors = {
            split: to_tensors(self.loader.load(split), self.loader.schema, self.encoder)
            for split in ("train", "validation")
        }

    def _batches(self, split: str) -> Any:
        x, y = self.tensors[split]
        if self.form == "narrow":
            x = x[:, 1:]
        elif self.form == "double":
            x = x.double()
        return DataLoader(TensorDataset(x, y), batch_size=self.batch_size, shuffle=split == "train")

    def train_dataloader(self) -> Any:
        return [] if self.form == "empty" else self._batches("train")

    def val_dataloader(self) -> Any:
        return self._batches("validation")

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        x, y = batch
        return (x + 0.01 * torch.randn_like(x) if self.trainer.training else x), y


class Witnessed(OwnBatches):
    """Writes its hooks down, and cannot be used once it is torn down."""

    calls: ClassVar[list[str]] = []

    def teardown(self, stage: str) -> None:
        self.calls.append("teardown")
        del self.tensors

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.calls.append("batch")
        return batch


class NoValidation(pl.LightningDataModule):
    """Training batches alone."""

    def train_dataloader(self) -> Any:
        return []


class LateAverage(pl.Callback):
    """Puts the mean of the weights of all epochs into the network when the training ends."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seen.append(nn.utils.parameters_to_vector(module.parameters()).detach().clone())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        nn.utils.vector_to_parameters(torch.stack(self.seen).mean(0), module.parameters())


class Weights(pl.Callback):
    """Writes the weights of each process into a folder when the training ends."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        torch.save(module.state_dict(), self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


class Draws(pl.Callback):
    """Writes the first random number of each library in each process into a folder when the training starts."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        drawn = [torch.rand(1).item(), np.random.random(), random.random()]  # as users draw them
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(drawn))


class OwnItems(Dataset):
    """The platform's rows, those of the training with noise; `form` spoils them."""

    def __init__(self, split: str, rows: Any, form: str = "") -> None:
        self.split, self.rows, self.form = split, rows, form

    def __len__(self) -> int:
        return len(self.rows) - (self.form == "short")

    def __getitem__(self, row: int) -> Any:
        if self.form == "shuffled":
            row = len(self.rows) - 1 - row
        x, y = self.rows[row]
        if self.split == "train":
            x += 0.01 * torch.randn_like(x)
        return {
            "raises": lambda: open("/no/such/file") if row == 3 else (x, y),
            "scaled": lambda: (x / 10, y),
            "flipped": lambda: (x, 1 - y),
            "narrow": lambda: (x[1:], y),
            "words": lambda: (x, "yes"),
            "alone": lambda: x,
            "plain": lambda: (x.double().numpy(), int(y)),
        }.get(self.form, lambda: (x, y))()


class ItemsWithoutSplit(Dataset):
    """Knows no splits."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows


class NoItems(IterableDataset):
    """Has no items by number."""

    def __init__(self, split: str) -> None:
        self.split = split

    def __iter__(self) -> Any:
        return iter([])


class Lists(Dataset):
    """Lists of unlike lengths, made of the loader's rows, with a way to put them together."""

    def __init__(self, split: str, loader: Any, form: str = "") -> None:
        self.frame, self.form = loader.load(split), form

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, row: int) -> Any:
        one = self.frame.iloc[row]
        clicks = [] if one["clicks"] is None else one["clicks"]
        inputs = {"clicks": torch.tensor(clicks, dtype=torch.float32), "clicks_lengths": len(clicks)}
        return inputs, float(one["liked"])

    def collate_fn(self, items: Any) -> Any:
        if self.form == "by length":
            items = sorted(items, key=lambda one: -one[0]["clicks_lengths"])
        inputs, y = zip(*items, strict=True)
        if self.form == "labels stay":
            inputs = sorted(inputs, key=lambda one: -one["clicks_lengths"])
        padding = -1.0 if self.form == "padded" else 0.0
        clicks = nn.utils.rnn.pad_sequence([one["clicks"] for one in inputs], True, padding)
        lengths = torch.tensor([one["clicks_lengths"] for one in inputs])
        return {"clicks": clicks, "clicks_lengths": lengths}, torch.tensor(y)
