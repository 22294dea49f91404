"""Models as a user would write them; each test project has a copy and names them by dotted path."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor, nn

from mlops_lib.networks.tabular import TabularNetwork
from mlops_lib.wrappers.interface import ModelWrapper


class OwnNetwork(pl.LightningModule):
    """A LightningModule that knows nothing of the platform but `val_loss`; frequency and recency only."""

    def __init__(self, n_features: int, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.linear = nn.Sequential(nn.BatchNorm1d(n_features), nn.Linear(n_features, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).squeeze(-1).sigmoid()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return nn.functional.binary_cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.log("val_loss", nn.functional.binary_cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class WitnessNetwork(TabularNetwork):
    """Writes down, for each rank and epoch, the sum of every row that it learns from."""

    def __init__(self, n_features: int, n_classes: int, folder: str, **params: Any) -> None:
        super().__init__(n_features, n_classes, **params)
        self.folder = folder

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        with Path(self.folder, f"rank-{self.global_rank}-epoch-{self.current_epoch}").open("a") as file:
            file.writelines(f"{value}\n" for value in batch[0].double().sum(1).tolist())
        return super().training_step(batch, number)


class FragileNetwork(OwnNetwork):
    """On rank 1, from the second epoch on, it dies, raises or sleeps, as `way` chooses."""

    def __init__(self, n_features: int, way: str) -> None:
        super().__init__(n_features)
        self.way = way

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        if self.global_rank == 1 and self.current_epoch == 1:
            if self.way == "raise":
                raise ValueError("this rank has had enough")
            if self.way == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return super().training_step(batch, number)


class SilentNetwork(OwnNetwork):
    """Forgets to log `val_loss`."""

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        return None


class BranchingNetwork(OwnNetwork):
    """Branches on a value, which no graph can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] if float(x.sum()) > 0 else x[:, 1]


def own_pipeline(C: float = 1.0) -> Pipeline:
    """Scaling and one-hot encoding inside the model, by column name."""
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["frequency", "recency_days", "days_since_last"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["segment"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression(C=C))


def own_regressor(alpha: float = 1.0) -> Pipeline:
    """Ridge on scaled features."""
    return make_pipeline(StandardScaler(), Ridge(alpha))


class NanWrapper(ModelWrapper):
    """Predicts NaN for one row: the score is in doubt."""

    def fit(self, data_loader, config, run_id):
        raise NotImplementedError

    def open(self, folder):
        pass

    def predict(self, input_data):
        predictions = np.full(len(input_data), 0.5)
        predictions[3] = np.nan
        return predictions
