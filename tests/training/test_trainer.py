"""`train.trainer` and `train.callbacks`: checked when the file is read, passed to Lightning, and effective."""

import functools
import inspect

import lightning.pytorch as pl
import mlflow
import pytest
import torch
from torch._dynamo.utils import counters

from mlops_lib import wrappers
from mlops_lib.errors import ConfigError, TrainingError
from mlops_lib.settings.trainer import OWNED, TrainerArguments
from mlops_lib.training import lightning_fit
from mlops_lib.training import trainer as trainers
from mlops_lib.training.epochs import TITLE
from mlops_lib.training.worker import Plan
from tests.support.projects import written


def test_every_argument_of_lightnings_trainer_is_passed_or_refused():
    """A new release of Lightning with another argument must not go unnoticed."""
    passed = set(TrainerArguments.__annotations__)
    known = set(inspect.signature(pl.Trainer).parameters)
    assert passed | set(OWNED) == known and not passed & set(OWNED)


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        (
            {"gradient_clip_vl": 1.0},
            r"Unknown key 'train\.trainer\.gradient_clip_vl'.*mean 'gradient_clip_val'",
        ),
        ({"gradient_clip_val": "big"}, r"gradient_clip_val' has value 'big'.*valid number"),
        ({"gradient_clip_val": 0}, "gradient_clip_val' has value 0.*greater than 0"),
        ({"limit_train_batches": 1.5}, "limit_train_batches' has value 1.5.*number of batches .* or a share"),
        ({"limit_val_batches": 0}, "limit_val_batches' has value 0.*number of batches"),
        ({"precision": "half"}, "precision' has value 'half'.*'16-mixed'"),
        ({"deterministic": "yes"}, "deterministic' has value 'yes'.*True, False or 'warn'"),
        ({"max_time": "1h"}, r"max_time' has value '1h'.*00:12:00:00"),
        ({"logger": True}, r"'logger' is set by the platform: use mlflow\.tracking_uri"),
        ({"devices": 2}, r"'devices' is set by the platform: use train\.processes"),
        ({"max_epochs": 3}, r"'max_epochs' is set by the platform: use train\.max_epochs"),
        ([1], "train.trainer' has value .* mapping"),
    ],
)
def test_a_wrong_argument_is_an_error_when_the_file_is_read(project, trainer, words):
    """The error names key and value, and the accepted values or the setting to use instead."""
    with pytest.raises(ConfigError, match=words):
        project.configure(train={"trainer": trainer}).settings()


@pytest.mark.parametrize("callback", ["Witness", {"class": "a:B", "parms": {}}, {"params": {}}, 3])
def test_a_wrong_form_of_a_callback_is_an_error_when_the_file_is_read(project, callback):
    """A callback is package.module:Class, or a mapping of class and params."""
    with pytest.raises(ConfigError, match=r"train\.callbacks\.0' has value .*package\.module:Class"):
        project.configure(train={"callbacks": [callback]}).settings()


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"callbacks": ["toy_training:Missing"]}, "no 'Missing'"),
        ({"callbacks": [{"class": "toy_training:Witness", "params": {"fil": "x"}}]}, "Cannot make.*'fil'"),
        ({"callbacks": ["toy_training:no_callback"]}, "makes a object and no lightning"),
        (
            {
                "callbacks": [
                    {
                        "class": "lightning.pytorch.callbacks:StochasticWeightAveraging",
                        "params": {"swa_lrs": 0.1},
                    }
                ]
            },
            "they would be lost. Use lightning.pytorch.callbacks:EMAWeightAveraging",
        ),
        ({"trainer": {"accumulate_grad_batches": 2, "precision": "16-true"}, "accelerator": "nope"}, "nope"),
    ],
)
def test_what_only_lightning_can_check_is_checked_before_the_data_is_read(stored, train, words):
    """There is no prepared dataset, and still the error is about the callback or the accelerator."""
    settings = stored.configure(train=train).settings()
    with pytest.raises(Exception, match=words):
        wrappers.from_settings(settings).fit(None, settings, "")


def test_each_process_needs_a_gpu_of_its_own(stored, monkeypatch):
    """The error comes before the data is read, and not from processes that were started. Without a GPU, they share the CPU."""
    settings = stored.configure(train={"processes": 2}).settings()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match=r"has 1 GPU: .*train\.processes: 1, or train\.accelerator: cpu"):
        wrappers.from_settings(settings).fit(None, settings, "")
    trainers.check(stored.configure(train={"accelerator": "cpu"}).settings())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    trainers.check(settings)


@pytest.mark.slow
def test_arguments_callbacks_scheduler_and_own_metrics_have_effect(stored):
    """Two batches an epoch, a clipped gradient, a rate that the plateau lowers; all metrics are on the run."""
    witness = stored.root / "witness.txt"
    stored.configure(
        model={"implementation": "toy_training:Scheduled", "params": {}},
        train={
            "max_epochs": 4,
            "accelerator": "cpu",
            "trainer": {"limit_train_batches": 2, "gradient_clip_val": 0.5, "accumulate_grad_batches": 2},
            "callbacks": [{"class": "toy_training:Witness", "params": {"file": str(witness)}}],
        },
    )
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    lines = [line.split() for line in witness.read_text().splitlines()]
    assert [(epoch, batches, clip) for epoch, _, batches, clip in lines] == [
        (str(n), str(2 * n + 2), "0.5") for n in range(4)
    ]
    client = mlflow.MlflowClient()
    assert client.get_run(result.run_id).data.params["fit.device"] == "cpu"
    history = {
        name: client.get_metric_history(result.run_id, name)
        for name in ("train_loss", "val_loss", "val_hits", "epoch_seconds", "peak_memory_mb")
    }
    assert {len(points) for points in history.values()} == {4}
    assert [point.step for point in history["val_loss"]] == [0, 1, 2, 3]  # one optimizer step an epoch
    assert all(point.value > 50 for point in history["peak_memory_mb"])
    table = model.evaluate(dataset, settings).tables[TITLE].set_index("metric")
    assert set(table.index) == set(history)
    best = min(history["val_loss"], key=lambda point: point.value)
    assert table.loc["val_loss", "kept epoch"] == best.value
    assert table.loc["val_hits", "last epoch"] == history["val_hits"][-1].value


@pytest.mark.slow
def test_weights_that_change_after_the_last_epoch_are_named(stored, capsys):
    """They were replaced by those of the best epoch without a word."""
    train = {"callbacks": ["toy_training:LateAverage"]}
    stored.configure(model={"implementation": "toy_training:Scheduled", "params": {}}, train=train)
    settings, dataset = written(stored)
    wrappers.from_settings(settings).train(dataset, settings)
    said = capsys.readouterr().out
    assert (
        "were changed at the end of the training" in said and "NOT kept" in said and "WeightAveraging" in said
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EMAWeightAveraging", "WeightAveraging", "ModelPruning"])
def test_averaged_and_pruned_weights_are_kept(stored, capsys, monkeypatch, name):
    """The callbacks of Lightning that put their weights into the checkpoint of each epoch."""
    pruned = {"pruning_fn": "l1_unstructured", "amount": 0.5, "use_lottery_ticket_hypothesis": False}
    params = {"EMAWeightAveraging": {"decay": 0.5}, "WeightAveraging": {}, "ModelPruning": pruned}[name]
    callbacks = [{"class": f"lightning.pytorch.callbacks:{name}", "params": params}]
    train = {"callbacks": callbacks, "accelerator": "cpu"}  # a GPU cannot average whole numbers
    stored.configure(model={"implementation": "toy_training:Scheduled", "params": {}}, train=train)
    settings, dataset = written(stored)
    restored = {}
    restore = lightning_fit._restore_best

    def remember(module, best):
        restore(module, best)
        restored["kept"] = {name: one.clone() for name, one in module.state_dict().items()}
        restored["file"] = torch.load(best.require(), weights_only=False, map_location="cpu")

    monkeypatch.setattr(lightning_fit, "_restore_best", remember)
    wrappers.from_settings(settings).train(dataset, settings)
    assert "NOT kept" not in capsys.readouterr().out
    kept, file = restored["kept"], restored["file"]
    if name == "ModelPruning":
        values = torch.cat([one.flatten() for one in kept.values()])
        assert (values == 0).float().mean() > 0.4
    else:
        steps = file["current_model_state"]
        assert any(not torch.equal(kept[one], steps[one]) for one in kept)


@pytest.mark.slow
def test_several_optimizers_are_stepped_by_hand(stored, capsys):
    """Manual optimisation trains, a line is printed for each epoch, and the model is logged."""
    stored.configure(model={"implementation": "toy_training:TwoOptimizers", "params": {}})
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert "at most" in lines[0] and "left" not in lines[2]
    losses = [m.value for m in mlflow.MlflowClient().get_metric_history(result.run_id, "val_loss")]
    assert min(losses) < 0.68


@pytest.mark.slow
def test_a_training_without_validation_is_an_error(stored):
    """`max_steps` ends it before the first validation: no weights could be chosen."""
    stored.configure(train={"trainer": {"max_steps": 2}})
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match="before its first validation.*max_steps"):
        wrappers.from_settings(settings).train(dataset, settings)


def test_a_plan_for_workers_has_the_settings_as_they_are(project):
    """Also lists, shares of batches and callbacks: workers read the settings from JSON."""
    train = {"trainer": {"limit_train_batches": 1.0, "deterministic": "warn"}, "callbacks": ["a:B"]}
    data = {"features": ["a", "b"], "reference_columns": ["c"], "missing_values": ["?"]}
    gate = {"slices": {"a": ["x", "y"], "b": "all"}}
    inputs = {"a": ["a", "b"], "b": {"column": "b", "shape": [1, 2]}}
    settings = project.configure(
        data=data, model={"inputs": inputs}, train=train, evaluation={"gate": gate}
    ).settings()
    text = settings.model_dump_json(exclude={"secrets"})
    facts = {"n_features": 1, "n_classes": 0, "n_labels": 2, "codes": ()}
    plan = Plan(settings=text, run_id="", data="", checkpoints="", **facts)
    assert plan.facts == facts
    assert plan.resolved().model_dump() == settings.model_dump()


@pytest.mark.slow
def test_a_compiled_network_is_trained_and_logged(stored, monkeypatch):
    """Its layers are compiled for the training; losses are those without, and the logged graph is a plain one.

    Without C++, which takes half a minute and is in the next test.
    """
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    losses = []
    counters.clear()
    for compiled in (False, True):
        stored.configure(
            model={"implementation": "toy_training:Scheduled", "params": {}}, train={"compile": compiled}
        )
        settings, dataset = written(stored)
        result = wrappers.from_settings(settings).train(dataset, settings)
        points = mlflow.MlflowClient().get_metric_history(result.run_id, "val_loss")
        losses.append([point.value for point in points])
    assert counters["stats"]["unique_graphs"] > 0
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    assert wrappers.load(result.model_uri).predict(dataset.load("test").head(3)).shape == (3,)


@pytest.mark.slow
def test_the_layers_of_a_network_are_compiled_within_a_training():
    """Also torch's own layers, which `Module.compile` leaves as they are; afterwards they are plain again."""
    module = torch.nn.ModuleDict({"layers": torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())})
    x = torch.randn(8, 4)
    expected = module["layers"](x)
    counters.clear()
    with lightning_fit._compiled(module):
        assert torch.allclose(module["layers"](x), expected, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1
    assert module["layers"]._compiled_call_impl is None
