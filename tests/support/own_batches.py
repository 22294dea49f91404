"""Trainings with batches of the user's own, from a data module or a dataset of ``tests/toys/toy_training.py``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlops_lib import wrappers
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from tests.support.projects import Project, written


def configured(
    stored: Project, setting: str, kind: str, network: str, params: dict[str, Any], **train: Any
) -> tuple[Settings, BaseDataLoader]:
    """Settings and dataset for a training of four epochs.

    Args:
        setting: Of `train`: datamodule or dataset.
        kind: The class that it names.
    """
    own = {"class": f"toy_training:{kind}", "params": params}
    stored.configure(
        model={"implementation": f"toy_training:{network}", "params": {}},
        train={"max_epochs": 4, "patience": 10, setting: own, **train},
    )
    return written(stored)


def require_equal_processes(stored: Project, setting: str, kind: str) -> None:
    """Two processes train together: the model answers, and both end with the same weights.

    A dataset's items have other noise in each process. Those of a data module draw alike: its samplers rest on that.
    """
    folder = Path(stored.root)
    callbacks = [
        {"class": f"toy_training:{name}", "params": {"folder": str(folder)}} for name in ("Weights", "Draws")
    ]
    settings, dataset = configured(
        stored,
        setting,
        kind,
        "Scheduled",
        {},
        processes=2,
        accelerator="cpu",
        callbacks=callbacks,
        max_epochs=2,
    )
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    assert np.isfinite(model.predict(dataset.load("test"))).all()
    first, second = (torch.load(folder / f"2-{rank}.pt") for rank in (0, 1))
    learned = [name for name in first if "running" not in name]  # statistics of batches differ
    assert learned and all(torch.equal(first[name], second[name]) for name in learned)
    drawn = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [one == other for one, other in zip(*drawn, strict=True)] == [setting == "datamodule"] * 3
