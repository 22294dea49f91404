"""Two processes train a network with inputs by name, and one with batches of a data module."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from mlops_lib import config, loaders, wrappers
from tests.networks.test_architectures import films
from tests.support.own_batches import require_equal_processes
from tests.support.projects import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_workers")]


def test_two_processes_learn_what_one_does(tmp_path, monkeypatch):
    """A sequence with its mask and a number: with one batch an epoch, both processes end with one process's weights."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/toys"))
    pq.write_table(films(90), tmp_path / "films.parquet")
    answers = {}
    for processes in (1, 2):
        content = {
            "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "films"},
            "data": {"source": "films.parquet", "label": "liked", "columns": {"clicks": "sequence"}},
            "model": {"wrapper": "lightning", "implementation": "architectures:SmallTransformer"},
            "train": {
                "max_epochs": 4,
                "batch_size": 128,
                "processes": processes,
                "callbacks": [{"class": "toy_training:Weights", "params": {"folder": str(tmp_path)}}],
            },
            "evaluation": {"threshold": 0.0},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        settings = config.load(tmp_path / "config.yaml")
        if not loaders.prepared_folder(settings).exists():
            loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        answers[processes] = model.predict(dataset.load("test"))
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    # Adam makes full steps of gradients that are 0 but for rounding, so single weights may differ more.
    gaps = torch.cat([(first[name] - one[name]).abs().flatten() for name in first])
    assert gaps.mean() < 1e-3
    assert np.allclose(answers[1], answers[2], atol=2e-3) and np.ptp(answers[1]) > 0.02


def test_two_processes_share_the_rows_of_a_data_module(stored):
    """Lightning gives each process its part of a DataLoader's rows; both end with the same weights."""
    require_equal_processes(stored, "datamodule", "OwnBatches")
