"""A project whose model tells bright pictures from dark ones: a small convolutional network at Production."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from mlops_lib.settings import Settings
from tests.support.pictures import encoded
from tests.support.promoting import promote

NET = """
import lightning
import torch
from torch import nn


class Net(lightning.LightningModule):
    def __init__(self, n_classes=2):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 14, 3))

    def forward(self, x):
        return self.layers(x).softmax(-1)

    def training_step(self, batch, at):
        x, y = batch
        return nn.functional.nll_loss(self(x).clamp_min(1e-6).log(), y.long())

    def validation_step(self, batch, at):
        self.log("val_loss", self.training_step(batch, at))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)
"""
WIDTH, HEIGHT = 16, 12
CLASSES = ["dark", "dim", "bright"]


def pictures(rows: int, seed: int = 0) -> tuple[list[bytes], list[str]]:
    """Files of noise about one of three levels, PNG and JPEG, and their classes."""
    draw = np.random.default_rng(seed)
    files, names = [], []
    for row in range(rows):
        level = row % 3
        pixels = draw.integers(level * 80, level * 80 + 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        files.append(encoded(Image.fromarray(pixels), "PNG" if row % 2 else "JPEG"))
        names.append(CLASSES[level])
    return files, names


def large() -> Image.Image:
    """A picture of 3000 x 2000 pixels."""
    draw = np.random.default_rng(7).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    return Image.fromarray(draw).resize((3_000, 2_000), Image.Resampling.BICUBIC)


def make(folder: Path) -> Settings:
    """A project whose registry has the model `gallery`, version 1, at Production."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(NET)
    files, names = pictures(120)
    table = pa.table({"id": [f"{row}.png" for row in range(120)], "photo": files, "level": names})
    pq.write_table(table, folder / "pictures.parquet")
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "gallery"},
        "data": {"source": "pictures.parquet", "label": "level", "key": "id"},
        "model": {"name": "gallery", "wrapper": "lightning", "implementation": "net:Net"},
        "train": {"max_epochs": 3, "batch_size": 16},
        "evaluation": {"task": "classification", "metric": "accuracy", "threshold": 0.0},
        "serving": {"poll_s": 0.3, "cache": "cache", "challenger": "", "prediction_log": "log"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(folder / "config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    run_id = wrappers.from_settings(settings).train(loaders.prepared(settings), settings).run_id
    promote(settings, "gallery", Registry(settings).register("gallery", run_id, {}).version)
    return settings
