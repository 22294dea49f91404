"""Labels of different kinds in one model: each output is judged by its own task, one of them decides."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_lib import config, loaders, registry, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.errors import ConfigError, DataError, TrainingError
from mlops_lib.training import judging
from tests.support.projects import ROOT
from tests.support.promoting import promote

ROWS = 300


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A table with yes or no, a class of three and a number to predict."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/toys"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    rows = pd.DataFrame(x, columns=["a", "b", "c"])
    rows["buys"], rows["plan"] = x[:, 0] > 0, np.digitize(x[:, 1], [-0.5, 0.5])
    rows["spent"], rows["city"] = 3 * x[:, 2] + 1, np.where(x[:, 0] > 0, "Seoul", "Busan")
    rows.to_parquet(tmp_path / "rows.parquet")
    return tmp_path


def configured(folder, labels=("buys", "plan", "spent"), network="Heads", train=30, model=None, **evaluation):
    """Settings of a network with a head for each label; `buys` decides."""
    others = {name: "drop" for name in ("buys", "plan", "spent", "city") if name not in labels}
    chosen = {
        "output": "buys",
        "heads": {"plan": "classification", "spent": "regression"},
        "baselines": ["majority"],
    }
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "heads"},
        "data": {"source": "rows.parquet", "label": list(labels), "columns": others},
        "model": {"name": "heads", **(model or {"wrapper": "lightning", "implementation": f"toy_outputs:{network}"})},
        "train": {"max_epochs": train, "batch_size": 32},
        "evaluation": {"threshold": 0.7, **chosen, **evaluation},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return config.load(folder / "config.yaml")


def dataset_of(settings):
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    return loaders.prepared(settings)


@pytest.mark.slow
def test_each_head_has_its_metrics_and_the_gate_compares_the_one_that_decides(project):
    """The others' metrics carry the label's name; a worse champion is beaten on the rows of `evaluation.output`."""
    for epochs, outcome in ((1, None), (30, "better")):
        settings = configured(project, train=epochs, threshold=0.0)
        dataset, model = dataset_of(settings), wrappers.from_settings(settings)
        result = model.train(dataset, settings)
        report = model.evaluate(dataset, settings)
        assert report.verdict.metric == "roc_auc" and report.verdict.outcome == outcome
        version = registry.register_run(settings, result.run_id)
        if outcome is None:
            promote(settings, version.name, version.version)
    found, test = model.predict(dataset.load("test")), dataset.load("test")
    assert set(found[0]) == {"buys", "plan", "spent"} and len(found[0]["plan"]) == 3
    hits = [np.argmax(row["plan"]) == plan for row, plan in zip(found, test["plan"], strict=True)]
    assert report.metrics["plan.accuracy"].value == pytest.approx(np.mean(hits))
    errors = np.array([row["spent"] for row in found]) - test["spent"].to_numpy()
    assert report.metrics["spent.rmse"].value == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert report.metrics["roc_auc"].value > 0.9 and not report.directions["spent.rmse"]
    assert {"roc", "plan.confusion", "spent.residuals"} <= set(report.figures)
    assert report.judged.truth.tolist() == test["buys"].tolist()
    assert list(report.baselines["majority"]) == [name for name in report.metrics if "." not in name]


@pytest.mark.slow
def test_the_model_is_asked_once_for_a_row(project):
    """Whatever the number of heads; a loader whose schema is a plain property is judged alike."""
    settings = configured(project)
    dataset = dataset_of(settings)
    asked = []

    def answers(rows, config):
        asked.append(len(rows))
        signs = (rows["a"] > 0.2).astype(float)
        return [{"buys": sign, "plan": [0.2, 0.3, 0.5], "spent": 1.0} for sign in signs]

    report = judging.score(answers, dataset, settings, "test")
    assert sum(asked) == dataset.count("test")
    rows = dataset.load("test")
    assert report.metrics["accuracy"].value == pytest.approx(((rows["a"] > 0.2) == rows["buys"]).mean())
    assert report.metrics["plan.accuracy"].value == pytest.approx((rows["plan"] == 2).mean())
    assert report.metrics["spent.mae"].value == pytest.approx((rows["spent"] - 1).abs().mean())

    known = dataset.schema
    other = copy(dataset)
    other.__class__ = type("Own", (type(dataset),), {"schema": property(lambda self: known)})
    assert judging.score(answers, other, settings, "test").metrics == report.metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"output": "spent"}, ConfigError, "must name each column of data.label once"),
        ({"labels": ("buys", "a%", "a#"), "heads": {"a%": "regression", "a#": "regression"}}, ConfigError, "scores of one name.*rename one"),
        ({"task": "multioutput", "metric": "mean_r2"}, ConfigError, "heads goes with the task classification or regression"),
        ({"labels": ("buys", "city"), "heads": {"city": "classification"}}, DataError, "'city' holds category values.*numbers of classes"),
        ({"labels": ("buys", "spent"), "heads": {"spent": "classification"}}, DataError, "'spent' holds number values"),
        ({"labels": ("buys", "spent"), "heads": {}, "output": ""}, DataError, "labels of different kinds.*evaluation.heads"),
        ({"network": "HeadsOfOtherForm"}, TrainingError, r"gives \[5, 1\].*regression judges one number.*squeeze"),
        ({"model": {"wrapper": "lightning", "implementation": "tabular"}}, TrainingError, "one tensor. Return a dict with an output for each label"),
        ({"model": {"wrapper": "sklearn", "implementation": "sklearn.linear_model:Ridge"}}, TrainingError, "wrapper sklearn give one output.*lightning"),
        ({"network": "HeadsWithoutPlan"}, TrainingError, "heads names 'plan', and HeadsWithoutPlan.forward gives buys, spent"),
    ],
)  # fmt: skip
def test_heads_that_cannot_be_judged_are_an_error_before_training(project, changed, error, words):
    """The error names the label or the output, and says what to write."""
    with pytest.raises(error, match=words):
        settings = configured(project, **changed)
        wrappers.from_settings(settings).train(dataset_of(settings), settings)
