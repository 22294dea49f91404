"""Small real models in a real embedded registry, made in seconds."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_lib import config, loaders, wrappers
from mlops_lib.config import Settings
from mlops_lib.registry import ModelVersion, Registry

FEATURES = ("frequency", "recency", "amount")
CONFIG = """
mlflow: {tracking_uri: "sqlite:///mlflow.db", experiment: serving}
data: {source: rows.parquet, label: bought, key: user_id}
model:
  name: shop
  wrapper: lightning
  params: {hidden: [8]}
train: {max_epochs: 1}
evaluation: {threshold: 0.0}
serving: {poll_s: 0.3, retry_s: 0.3, drain_s: 0.3, cache: cache}
"""


def make(folder: Path) -> Settings:
    """A folder with config.yaml, data, and a registry that has versions 1 (Production) and 2 of `shop`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.random(200) * 10 for name in FEATURES})
    rows["frequency"] = rows["frequency"].astype(int)
    rows["bought"] = (rows["recency"] > 5).astype(int)
    rows["user_id"] = np.arange(200)
    rows.to_parquet(folder / "rows.parquet")
    (folder / "config.yaml").write_text(CONFIG)
    settings = config.load(folder / "config.yaml")
    for seed in (0, 1):
        add_version(settings, seed)
    Registry(settings).promote("shop", 1, "Production")
    return settings


def add_version(settings: Settings, seed: int) -> ModelVersion:
    """Train a version that differs from the others by its seed, and register it."""
    changed = settings.model_copy(update={"train": settings.train.model_copy(update={"seed": seed})})
    wrapper = wrappers.from_settings(changed)
    result = wrapper.train(loaders.from_settings(changed), changed)
    return Registry(settings).register("shop", result.run_id, result.model_uri, {})


def copy(settings: Settings, folder: Path) -> Settings:
    """The same registry in a folder of its own, for a test that moves stages; artifacts stay shared."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "rows.parquet", "mlflow.db"):
        shutil.copy(settings.root / name, folder / name)
    return config.load(folder / "config.yaml")
