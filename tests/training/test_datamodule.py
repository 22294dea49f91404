"""`train.datamodule`: a LightningDataModule of the user's own gives the training batches."""

import mlflow
import numpy as np
import pytest

from mlops_lib import tracking, wrappers
from mlops_lib.columns.fit import fit as fit_encoder
from mlops_lib.errors import MlopsError, TrainingError
from tests.support import own_batches
from tests.support.projects import ROOT


def configured(stored, network="Interrupted", own="OwnBatches", **params):
    """Settings and dataset for a training with the batches of a data module."""
    return own_batches.configured(stored, "datamodule", own, network, params)


@pytest.mark.slow
def test_its_batches_are_learned_from_and_the_loaders_test_rows_are_judged(stored, monkeypatch):
    """It is set up once, its hooks are called, and an interrupted training ends with the same weights."""
    settings, dataset = configured(stored)
    from toy_training import OwnBatches

    calls = []
    for name in ("prepare_data", "setup"):
        own = getattr(OwnBatches, name)
        monkeypatch.setattr(
            OwnBatches, name, lambda self, *a, own=own: (calls.append(own.__name__), own(self, *a))
        )
    model = wrappers.from_settings(settings)
    expected = [model.train(dataset, settings), model.predict(dataset.load("test"))]
    assert calls == ["prepare_data", "setup"]
    report = model.evaluate(dataset, settings)
    assert report.metrics["roc_auc"].scored == dataset.count("test")

    monkeypatch.setenv("TOY_INTERRUPT", "raise")
    with pytest.raises(RuntimeError, match="interrupted"):
        model.train(dataset, settings)
    monkeypatch.delenv("TOY_INTERRUPT")
    resumed = model.train(dataset, settings)
    assert np.array_equal(model.predict(dataset.load("test")), expected[1])
    client = mlflow.MlflowClient()
    curves = [
        [(one.step, one.value) for one in client.get_metric_history(run, "val_loss")]
        for run in (expected[0].run_id, resumed.run_id)
    ]
    assert curves[0] == curves[1] and len(curves[0]) == 4
    assert "mlops.resumed_from" in client.get_run(resumed.run_id).data.tags


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "params", "words"),
    [
        ("Missing", {}, "no 'Missing'"),
        ("OwnBatches", {"colour": 1}, "cannot be made: TypeError.*'colour'"),
        ("no_callback", {}, "makes a object, no LightningDataModule"),
        ("NoValidation", {}, "defines no val_dataloader"),
        ("OwnBatches", {"form": "setup"}, "fails: OSError: no such file"),
        ("OwnBatches", {"form": "empty"}, "gives no training batch"),
        ("OwnBatches", {"form": "narrow"}, r"'x' as float32 \[.*\], and forward gets x float32 \[rows, 7\]"),
        ("OwnBatches", {"form": "double"}, r"'x' as float64"),
    ],
)
def test_wrong_batches_are_an_error_before_training(stored, own, params, words):
    """The error names the class and the input, and no epoch is trained."""
    settings, dataset = configured(stored, "Scheduled", own, **params)
    with pytest.raises(MlopsError, match=words) as caught:
        wrappers.from_settings(settings).train(dataset, settings)
    assert own == "Missing" or isinstance(caught.value, TrainingError)
    runs = mlflow.search_runs(experiment_names=[settings.mlflow.experiment], output_format="list")
    assert [run.data.metrics for run in runs] == [{}]


@pytest.mark.slow
def test_a_learning_rate_is_found_with_its_hooks(stored, monkeypatch):
    """Its training batches pass its hooks in the search too; it is torn down once, after the training."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/toys"))
    import toy_training

    from mlops_lib.training import datamodule, learning_rate

    settings, dataset = configured(stored, "Scheduled", "Witnessed")
    tracking.connect(settings)
    own = datamodule.make(settings, dataset, fit_encoder(dataset.schema, dataset.parts("train")), 64)
    train, _ = datamodule.loaders(own, settings)
    module = toy_training.Scheduled(len(dataset.schema.features))
    monkeypatch.setattr(toy_training.Scheduled, "validation_step", lambda *_: pytest.fail("it validates"))
    calls = toy_training.Witnessed.calls
    calls.clear()
    run_id = mlflow.MlflowClient().create_run(mlflow.create_experiment("rates")).info.run_id
    learning_rate.find(module, train, settings, run_id, own)
    assert calls and set(calls) == {"batch"}
    own.teardown("fit")
    assert calls[-1] == "teardown"
