"""The number of processes that decode images for a training."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_lib.columns.encode import Encoder
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import Inputs, InputSpec
from mlops_lib.settings import Settings
from mlops_lib.training import lightning_fit

BATCH_BYTES = 4 * 64 * 3 * 224 * 224


@pytest.mark.parametrize(
    ("rows", "given", "free", "wanted"),
    [
        (10_000, None, 1 << 40, 4),
        (10_000, None, 6 * 3 * BATCH_BYTES, 3),
        (10_000, None, 64 << 20, 0),
        (10_000, 5, 64 << 20, 5),
        (100, None, 1 << 40, 0),
    ],
)
def test_processes_are_as_many_as_shared_memory_has_room_for(
    rows, given, free, wanted, monkeypatch, tmp_path, capsys
):
    """In a container with 64 MiB there are none, where they would be killed; a number that is set counts."""
    schema = Schema((Column("photo", "image", stored="binary"), Column("y", "integer", "label")))
    spec = InputSpec("x", ("photo",), "image", "float32", (3, 224, 224))
    encoder = InputEncoder(Inputs((spec,)), Encoder(schema.with_features([]), {}), schema)
    monkeypatch.setattr(lightning_fit, "SHARED", tmp_path)
    monkeypatch.setattr(lightning_fit.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(lightning_fit.os, "cpu_count", lambda: 4)
    config = SimpleNamespace(train=SimpleNamespace(num_workers=given, batch_size=64))
    loader = SimpleNamespace(count=lambda split: rows)
    assert lightning_fit._decoders(loader, config, encoder, 1) == wanted
    assert ("more shared memory" in capsys.readouterr().out) == (given is None and rows > 100 and wanted < 4)


def test_a_training_of_images_has_fewer_epochs():
    """Where config.yaml sets none: an epoch of images is long."""
    required = {
        "data": {"source": "x", "label": "y"},
        "model": {"name": "m"},
        "evaluation": {"threshold": 0.5},
    }
    config = Settings.model_validate({**required, "root": Path()})
    small, images = (lightning_fit.sized(config, 134, has_images=one).train for one in (False, True))
    assert (small.max_epochs, small.patience) == (300, 23)
    assert (images.max_epochs, images.patience) == (50, 10)
    assert images.batch_size == small.batch_size == 16
