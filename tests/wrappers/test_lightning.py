"""PytorchLightningWrapper: the run, the logged model, predictions, and errors of networks that do not fit."""

import json
import math
import re
import subprocess
import sys

import mlflow
import numpy as np
import pytest

from mlops_lib import loaders, registry, tracking, wrappers
from mlops_lib.errors import EvaluationError, InputError, RegistryError, TrainingError
from tests.support.projects import written


@pytest.fixture
def run(trained):
    """The MLflow run of the shared model."""
    settings = trained.project.settings()
    return registry.Registry(settings).run(trained.run_id)


def test_a_run_holds_parameters_metrics_checkpoint_and_model(trained, run):
    """Parameters, losses, scores, verdict, fingerprint, report and figures are on the run."""
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert params["train.max_epochs"] == "3" and params["model.implementation"] == "tabular"
    assert "64" in params["hidden"] and float(params["dropout"]) == 0.1
    client = mlflow.MlflowClient()
    for metric in ("train_loss", "val_loss"):
        assert len(client.get_metric_history(trained.run_id, metric)) == 3
    assert {"test.roc_auc", "test.baseline.logistic.roc_auc", "test.baseline.majority.roc_auc"} <= set(
        run.data.metrics
    )
    assert run.data.tags["mlops.gate"] == "passed"
    assert len(run.data.tags["mlops.data_fingerprint"]) == 64
    assert re.fullmatch(r"\d features: .*\d number.*", run.data.tags["mlops.columns"])
    assert "columns.json" in {file.path for file in client.list_artifacts(trained.run_id)}
    kept = {file.path for file in client.list_artifacts(trained.run_id, "evaluation/test")}
    assert {"evaluation/test/report.json"} < kept and any("roc" in name for name in kept)
    assert any(file.is_dir for file in client.list_artifacts(trained.run_id))


def test_the_model_has_signature_example_and_requirements(trained):
    """Named columns, rows to try, and the exact torch; a traced graph, nothing pickled."""
    info = mlflow.models.get_model_info(f"models:/repurchase/{trained.version}")
    assert info.signature.inputs.input_names()[:2] == ["frequency", "recency_days"]
    folder = wrappers.download(f"models:/repurchase/{trained.version}")
    assert json.loads((folder / "serving_input_example.json").read_text())
    assert any(line.startswith("torch==") for line in (folder / "requirements.txt").read_text().splitlines())
    assert list(folder.rglob("*.pt2")) and not list(folder.rglob("*.pkl"))


def test_rows_and_tables_give_the_same_predictions(trained):
    """Rows and tables, with extra and reordered columns, give the same answer for each customer."""
    settings = trained.project.settings()
    model = wrappers.load(f"models:/repurchase/{trained.version}")
    frame = loaders.prepared(settings).load("test").head(20)
    expected = model.predict(frame)
    assert expected.shape == (20,) and ((expected > 0) & (expected < 1)).all()
    assert np.array_equal(model.predict(frame[frame.columns[::-1]]), expected)
    assert np.array_equal(model.predict(frame[model.feature_names].to_dict("records")), expected)
    assert math.isclose(model.predict(frame.tail(1))[0], expected[-1], abs_tol=1e-6)
    missing = {**frame[model.feature_names].to_dict("records")[0], "frequency": None}
    assert np.isfinite(model.predict([missing])).all()


def test_rows_that_do_not_fit_are_named(trained):
    """The error names row and feature, for rows and for tables."""
    model = wrappers.load(f"models:/repurchase/{trained.version}")
    row = dict.fromkeys(model.feature_names, 1.0)
    with pytest.raises(InputError, match="Row 1 has no feature 'quantity'"):
        model.predict([row, {k: v for k, v in row.items() if k != "quantity"}])
    with pytest.raises(InputError, match="Row 0: feature 'quantity' is 'two'"):
        model.predict([{**row, "quantity": "two"}])
    frame = loaders.prepared(trained.project.settings()).load("test").drop(columns=["quantity"])
    with pytest.raises(InputError, match="no feature 'quantity'"):
        model.predict(frame)


@pytest.mark.slow
def test_training_stops_early_and_keeps_the_best_epoch(stored):
    """The learning rate ruins the network: two worse epochs end the training, and the model is that of the best."""
    stored.configure(model={"params": {"learning_rate": 0.5}}, train={"max_epochs": 100, "patience": 2})
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    losses = [m.value for m in mlflow.MlflowClient().get_metric_history(result.run_id, "val_loss")]
    assert len(losses) == losses.index(min(losses)) + 3 < 40
    rows = dataset.load("validation")
    predicted, y = np.clip(model.predict(rows), 1e-7, 1 - 1e-7), rows["repurchased"].to_numpy()
    loss = -np.mean(y * np.log(predicted) + (1 - y) * np.log(1 - predicted))
    assert losses[-1] > min(losses) + 1e-4
    assert math.isclose(loss, min(losses), rel_tol=0.02)


@pytest.mark.slow
def test_a_seed_gives_the_same_model_twice(stored):
    """Same data, configuration and seed: same predictions. Another seed: others."""
    settings, dataset = written(stored, train__max_epochs=1)
    rows = dataset.load("test")

    def predictions(seed):
        chosen = stored.settings(train__max_epochs=1, train__seed=seed)
        model = wrappers.from_settings(chosen)
        model.train(dataset, chosen)
        return model.predict(rows)

    first = predictions(0)
    assert np.array_equal(first, predictions(0)) and not np.array_equal(first, predictions(1))
    assert settings.train.seed == 0


@pytest.mark.slow
def test_a_users_own_network_needs_only_a_dotted_path(stored):
    """It is trained, logged and evaluated, and its model loads where its class cannot be imported."""
    stored.configure(model={"implementation": "toy_models:OwnNetwork", "params": {"learning_rate": 0.05}})
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    assert model.evaluate(dataset, settings).metrics["roc_auc"].value > 0.6
    expected = model.predict(dataset.load("test").head(3)).tolist()
    code = (
        "import sys; sys.modules['toy_models'] = None\n"
        "import json, mlflow; from mlops_lib import wrappers\n"
        f"mlflow.set_tracking_uri({mlflow.get_tracking_uri()!r})\n"
        f"rows = {dataset.load('test').head(3).to_dict('records')!r}\n"
        f"print(json.dumps(wrappers.load({result.model_uri!r}).predict(rows).tolist()))\n"
        "assert 'lightning' not in sys.modules and 'pytorch_lightning' not in sys.modules"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(loaded.stdout.splitlines()[-1]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("implementation", "params", "words"),
    [
        ("tabular", {"hiden": [4]}, r"'hiden'.*It takes: .*hidden"),
        ("toy_models:SilentNetwork", {}, "val_loss"),
        ("toy_models:BranchingNetwork", {}, r"BranchingNetwork\.forward cannot be traced"),
    ],
)
def test_a_network_that_does_not_fit_is_an_error(stored, implementation, params, words):
    """Wrong parameters, no val_loss, a forward that cannot be traced: the error says so, and the run is FAILED."""
    stored.configure(model={"implementation": implementation, "params": params})
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match=words):
        wrappers.from_settings(settings).train(dataset, settings)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("repurchase").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_an_error(stored):
    """Lightning would keep a checkpoint of a network that is NaN throughout; no model is logged."""
    stored.configure(model={"params": {"learning_rate": 1e30}})
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match=r"loss is NaN in epoch 1, train batch 2 of .*learning rate"):
        wrappers.from_settings(settings).train(dataset, settings)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("repurchase").experiment_id])
    assert run.info.status == "FAILED" and not run.outputs.model_outputs


@pytest.mark.slow
def test_a_model_is_trained_beside_a_parent_of_another_experiment(stored, monkeypatch):
    """Kubeflow's parent run may be in another experiment: child, model and verdict go there."""
    settings, dataset = written(stored)
    client = tracking.connect(settings)
    elsewhere = client.create_experiment("elsewhere")
    parent = client.create_run(elsewhere).info.run_id
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings, parent)
    assert model.evaluate(dataset, settings).verdict.passed
    run = client.get_run(result.run_id)
    assert (run.info.experiment_id, run.info.status) == (elsewhere, "FINISHED")
    assert len(run.outputs.model_outputs) == 1 and run.data.tags["mlops.gate"] == "passed"


def test_labels_that_are_no_classes_are_refused(stored):
    """The error for a classifier on a continuous label names the column and regression."""
    stored.configure(data={"label": "year_amount", "prepare": "toy_data:first_total"})
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match=r"'year_amount' is no class label.*task: regression"):
        wrappers.from_settings(settings).train(dataset, settings)


@pytest.mark.slow
def test_a_regression_end_to_end(stored):
    """Train, evaluate and register with another task: values in the label's unit, better than the mean."""
    stored.configure(
        data={"label": "year_amount", "prepare": "toy_data:first_total"},
        train={"max_epochs": 8},
        evaluation={"task": "regression", "metric": "r2", "threshold": 0.1, "baselines": []},
    )
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    report = model.evaluate(dataset, settings)
    assert report.verdict.passed and report.metrics["r2"].value > 0.1
    assert registry.register_run(settings, result.run_id).stage == "Staging"


def test_a_nan_score_fails_closed(trained_copy):
    """A prediction that is NaN: the error names the row, the old verdict is withdrawn, and nothing is registered."""
    settings = trained_copy.project.settings()
    dataset = loaders.prepared(settings)
    from toy_models import NanWrapper

    model = NanWrapper().load(f"runs:/{trained_copy.run_id}/model")
    versions = registry.Registry(settings).versions("repurchase")
    with pytest.raises(EvaluationError, match="not finite in row 3"):
        model.evaluate(dataset, settings)
    with pytest.raises(RegistryError, match="has not passed the gate"):
        registry.register_run(settings, trained_copy.run_id)
    assert registry.Registry(settings).versions("repurchase") == versions


@pytest.mark.slow
def test_text_features_are_embedded(stored):
    """A column of text needs no preparation; frames, rows of JSON and the logged example give the same predictions."""
    stored.configure(data={"prepare": "toy_data:with_segment"}, train={"max_epochs": 2})
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    rows = dataset.load("test").head(9)
    expected = model.predict(rows)
    assert model.straight_line and np.isfinite(expected).all()
    alone = np.concatenate([model.predict(rows[at : at + 1]) for at in range(9)])
    assert np.array_equal(alone, expected)
    assert np.array_equal(model.predict(rows[list(dataset.schema.features)].to_dict("records")), expected)
    example, first = model.example(), dataset.load("train").head(5)
    assert list(example[0]) == list(dataset.schema.features)
    assert np.array_equal(model.predict(example), model.predict(first))
