"""An interrupted training goes on from its checkpoint, and ends with the weights of one that was not interrupted."""

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from mlops_lib import config, loaders, wrappers
from mlops_lib.columns.fit import fit
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import Inputs, InputSpec
from mlops_lib.training.checkpoints import identity
from mlops_lib.training.implementation import build
from mlops_lib.training.resume import RESUMED_TAG, Resume
from tests.support.forked_workers import Forked, train
from tests.support.projects import written
from tests.support.waiting import until


@pytest.fixture
def resumable(stored):
    """Settings and dataset for six epochs of a network with dropout, batch normalisation and a plateau."""
    # A module that no other test imports: its folder, whose code counts, is this project's.
    shutil.copy(stored.root / "toy_training.py", stored.root / "resumable.py")
    callback = {"class": "resumable:Witness", "params": {"file": str(stored.root / "witness.txt")}}
    stored.configure(
        model={"implementation": "resumable:Interrupted", "params": {}},
        train={"max_epochs": 6, "patience": 10, "callbacks": [callback]},
    )
    return written(stored)


def trained(resumable):
    """Run id, predictions for the test rows, and (step, val_loss) of each epoch."""
    settings, dataset = resumable
    model = wrappers.from_settings(settings)
    run_id = model.train(dataset, settings).run_id
    points = mlflow.MlflowClient().get_metric_history(run_id, "val_loss")
    return run_id, model.predict(dataset.load("test")), [(one.step, one.value) for one in points]


def checkpoints(settings):
    """The checkpoints in the work folder."""
    return list((settings.root / ".mlops" / "checkpoints").glob("*/last.ckpt"))


def same(one, other):
    """Bit for bit the same predictions, and the same curve."""
    return np.array_equal(one[1], other[1]) and one[2] == other[2]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(resumable, capsys):
    """kill -9 in epoch 4; the next training repeats no finished epoch that was saved, and its run has all of them."""
    settings, _ = resumable
    expected, witness = trained(resumable), settings.root / "witness.txt"
    counted = witness.read_text().splitlines()
    witness.unlink()
    assert len(expected[2]) == 6 and not checkpoints(settings)

    paused = settings.root / "paused"
    environment = {
        **os.environ,
        config.CONFIG_ENV: str(settings.root / "config.yaml"),
        "TOY_INTERRUPT": str(paused),
    }
    killed = Forked(f"{train.__module__}:train", env=environment)
    until(lambda: paused.exists() or killed.poll() is not None, "the fourth epoch begins")
    assert killed.poll() is None
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert len(checkpoints(settings)) == 1
    done = witness.read_text().splitlines()

    resumed = trained(resumable)
    assert same(expected, resumed)
    assert "Training continues after epoch" in capsys.readouterr().out
    repeated = witness.read_text().splitlines()[len(done) :]
    assert done == counted[:3] and len(repeated) < 6  # rates and the callback's own count
    assert repeated == counted[6 - len(repeated) :]
    assert not checkpoints(settings)
    client = mlflow.MlflowClient()
    before = client.get_run(client.get_run(resumed[0]).data.tags[RESUMED_TAG])
    assert before.info.status == "KILLED"


@pytest.mark.slow
def test_a_damaged_checkpoint_is_reported_and_not_used(resumable, monkeypatch, capsys):
    """A byte of the file is another: training starts afresh, says so, and ends with the same weights."""
    settings, _ = resumable
    monkeypatch.setenv("TOY_INTERRUPT", "raise")
    with pytest.raises(RuntimeError, match="interrupted"):
        trained(resumable)
    monkeypatch.delenv("TOY_INTERRUPT")
    (file,) = checkpoints(settings)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    damaged = trained(resumable)
    assert "Training starts afresh: its checkpoint" in capsys.readouterr().out
    assert RESUMED_TAG not in mlflow.MlflowClient().get_run(damaged[0]).data.tags
    assert same(damaged, trained(resumable)) and not checkpoints(settings)


def test_another_training_does_not_use_the_checkpoint(resumable):
    """With another seed, other code beside the network's, or other rows, it is another training."""
    settings, dataset = resumable

    def name(settings=settings, dataset=dataset):
        torch.manual_seed(0)
        module = build(settings, "network", n_features=3)
        return identity(settings, dataset, fit(dataset.schema, dataset.parts("train")), module)

    first = name()
    assert name() == first
    assert name(settings.model_copy(update={"train": settings.train.model_copy(update={"seed": 1})})) != first
    helper = Path(sys.modules["resumable"].__file__).parent / "helper.py"
    helper.write_text("X = 1\n")
    assert name() != first
    helper.unlink()
    dataset.load("validation").iloc[1:].to_parquet(dataset.path / "validation.parquet")
    assert name(dataset=loaders.prepared(settings)) != first


def test_code_and_files_that_the_training_uses_make_another_one(resumable, tmp_path, monkeypatch):
    """Of a callback, a maker of the network, a collate function, a tokenizer; and another task."""
    settings, dataset = resumable
    module, encoder = torch.nn.Linear(1, 1), fit(dataset.schema, dataset.parts("train"))
    folders = {}
    for name in ("own_callback", "own_maker", "own_collate"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / f"{name}.py").write_text("def made(rows): return {'x': [1.0] * len(rows)}\n")
        monkeypatch.syspath_prepend(folders[name])
        importlib.import_module(name)
    (tmp_path / "tokens.json").write_text("{}")
    inputs = InputEncoder(Inputs((), collate="own_collate:made"), encoder, dataset.schema, tmp_path)
    file = InputSpec("t", ("t",), "tokens", "int64", tokenizer="tokens.json")

    def changed(section, **values):
        return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})

    callback = changed("train", callbacks=({"class": "own_callback:made", "params": {}},))
    maker = changed("model", implementation="own_maker:made")
    for name, given, of in (
        ("own_callback", callback, encoder), ("own_maker", maker, encoder), ("own_collate", settings, inputs)
    ):  # fmt: skip
        first = identity(given, dataset, of, module)
        assert identity(given, dataset, of, module) == first
        (folders[name] / f"{name}.py").write_text("X = 1\n")
        assert identity(given, dataset, of, module) != first, name
    inputs.inputs = Inputs((file,))
    first = identity(settings, dataset, inputs, module)
    (tmp_path / "tokens.json").write_text("{ }")
    assert identity(settings, dataset, inputs, module) != first
    task = changed("evaluation", task="regression")
    assert identity(task, dataset, encoder, module) != identity(settings, dataset, encoder, module)


def test_workers_that_clear_old_weights_at_once_all_go_on(tmp_path, monkeypatch):
    """Another worker has deleted the file that this one found: no reason to start afresh."""
    best = tmp_path / "checkpoint-epoch=1.ckpt"
    best.touch()
    monkeypatch.setattr(Path, "glob", lambda folder, _: iter([best, folder / "checkpoint-epoch=2.ckpt"]))
    Resume(tmp_path, "", None, None)._restore_best(
        {"folder": str(tmp_path), "best": str(best), "kept": "best-1.ckpt"}
    )
    assert best.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_two_interrupted_processes_go_on_with_the_same_weights(resumable, monkeypatch):
    """The random state of each process is in the checkpoint: dropout differs by process."""
    settings, dataset = resumable
    settings = settings.model_copy(
        update={"train": settings.train.model_copy(update={"processes": 2, "accelerator": "cpu"})}
    )
    expected = trained((settings, dataset))
    monkeypatch.setenv("TOY_INTERRUPT", "raise")
    with pytest.raises(TrainingError, match="interrupted"):
        trained((settings, dataset))
    monkeypatch.delenv("TOY_INTERRUPT")
    assert len(checkpoints(settings)) == 1
    resumed = trained((settings, dataset))
    assert same(expected, resumed)
    assert RESUMED_TAG in mlflow.MlflowClient().get_run(resumed[0]).data.tags
