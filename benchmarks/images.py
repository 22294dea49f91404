"""Compare images a second into training with torch's own DataLoader on the same files.

    python benchmarks/images.py /tmp/images --rounds 5

FOLDER gets 1,200 JPEG files of 500 x 375 pixels (or `--width`) in class folders. Both ways make batches of
224 x 224 pixels with the same number of workers; the stock way is a `Dataset` by hand (Pillow) in a
`DataLoader`. Rounds are interleaved. Compare ratios, because hosts differ; processor time is what a busy
machine changes least. For uploads to the service see `images_serving.py`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mlops_lib import config, loaders, plugins
from mlops_lib.columns.fit import fit
from mlops_lib.network_inputs import resolve
from mlops_lib.training import lightning_fit

IMAGES, SIDE, BATCH_ROWS = 1_200, 224, 64
NETWORK = """
import lightning.pytorch as pl
import torch
from torch import nn


class Small(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 1)
        )

    def forward(self, image):
        return self.layers(image).squeeze(-1).sigmoid()

    def training_step(self, batch, _):
        return nn.functional.binary_cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.001)
"""


class Stock(Dataset):
    """What a team writes by hand."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, float]:
        file = self.files[row]
        with Image.open(file) as opened:
            image = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return tensor, float(file.parent.name == "cat")


def main() -> None:
    """Make the files that are missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=500, help="of the images; another needs another folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = options.folder.resolve()
    make_images(folder / "images", options.width)
    loading(make_project(folder, options.workers), options.workers, options.rounds)


def make_images(folder: Path, width: int) -> None:
    """Write JPEG files of smooth shapes with noise, about as large as photographs,
    half of them cats and half dogs."""
    draw, height = np.random.default_rng(0), width * 3 // 4
    for row in range(IMAGES):
        file = folder / ("cat", "dog")[row % 2] / f"{row:05}.jpg"
        if file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        shapes = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        noise = draw.normal(0, 12, (height, width, 3))
        Image.fromarray((np.asarray(shapes) + noise).clip(0, 255).astype(np.uint8)).save(file, quality=85)


def make_project(folder: Path, workers: int) -> Any:
    """Write config.yaml and the network, and return the settings."""
    (folder / "small.py").write_text(NETWORK)
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "images"},
        "data": {"loader": "images", "source": "images", "label": "label"},
        "model": {
            "name": "small",
            "implementation": "small:Small",
            "inputs": {"image": {"column": "image", "shape": [3, SIDE, SIDE]}},
        },
        "train": {"max_epochs": 1, "batch_size": BATCH_ROWS, "num_workers": workers},
        "evaluation": {"metric": "accuracy", "threshold": 0.0, "baselines": []},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return config.load(folder / "config.yaml")


def loading(settings: Any, workers: int, rounds: int) -> None:
    """Print images a second of both ways, and their ratio."""
    torch.set_num_threads(1)
    prepared = loaders.prepared_folder(settings)
    if not prepared.exists():
        loaders.from_settings(settings).write(prepared)
    dataset = loaders.prepared(settings)
    plan = resolve.plan(
        plugins.load("network", settings.model.implementation), settings.model, dataset.schema
    )
    matrix = fit(plan.encoded_schema, dataset.parts("train"))
    encoder = plan.encoder(matrix, dataset.head("train", resolve.SAMPLE_ROWS), settings.root)
    ours, _ = lightning_fit.batches(dataset, settings, encoder)
    source = settings.path(settings.data.source)
    files = [source / key for key in dataset.load("train")["key"]]
    stock = DataLoader(Stock(files), BATCH_ROWS, shuffle=True, num_workers=workers)
    ways: dict[str, Iterable] = {"torch's DataLoader, Dataset by hand": stock, "this loader": ours}
    wall_s: dict[str, list[float]] = {name: [] for name in ways}
    cpu_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began, spent, rows = time.perf_counter(), processor_s(), 0
            for images, _ in way:
                assert images.shape[1:] == (3, SIDE, SIDE)
                rows += len(images)
            assert rows == len(files)
            wall_s[name].append(time.perf_counter() - began)
            cpu_s[name].append(processor_s() - spent)
    for name in ways:
        rate, each = len(files) / statistics.median(wall_s[name]), statistics.median(cpu_s[name]) / len(files)
        print(f"{name:<36}{rate:8.0f} images/s{each * 1e3:8.2f} ms of processor time an image")
    for what, seconds in (("images/s", wall_s), ("processor time", cpu_s)):
        ratios = [theirs / own for theirs, own in zip(*seconds.values(), strict=True)]
        print(f"ratio by {what}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def processor_s() -> float:
    """Return the processor time of this process and of its workers that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
