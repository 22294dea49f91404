"""Scoring a model and its baselines in one call."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError, PluginError
from mlops_lib.evaluation import EvaluationReport, decide, evaluate
from mlops_lib.evaluation.tasks.interface import Task

X = np.arange(40.0).reshape(-1, 1)
Y = np.arange(40) >= 20


@pytest.mark.slow
def test_a_model_and_its_baselines_are_scored_on_the_same_rows():
    """The report names task, split and rows, and the baselines carry the metrics of the model."""
    report = evaluate(
        "classification",
        Y,
        Y * 0.8 + 0.1,
        split="test",
        train=(X, Y),
        test_x=X,
        baseline_names=["majority", "logistic"],
    )
    assert (report.task, report.split, report.rows) == ("classification", "test", 40)
    assert list(report.baselines) == ["majority", "logistic"]
    assert report.metrics["roc_auc"].value == 1.0
    assert report.baselines["majority"]["roc_auc"].value == 0.5
    assert report.baselines["logistic"].keys() == report.metrics.keys()
    assert list(report.figures) == ["roc", "precision_recall", "calibration", "confusion"]
    assert decide(report, "roc_auc", 0.9).passed


def test_regression_needs_no_baselines():
    """Without names nothing is fitted, and no features are asked for."""
    report = evaluate("regression", [1.0, 2.0], [1.0, 4.0], split="validation")
    assert report.baselines == {} and report.flat()["mae"] == 1.0
    assert list(report.figures) == ["predicted_vs_true", "residuals"]


@pytest.mark.parametrize("given", [{}, {"train": (X, Y)}, {"test_x": X}])
def test_baselines_without_features_say_what_to_give(given):
    """A baseline has to learn from something."""
    with pytest.raises(EvaluationError, match=r"majority.*train=\(features, truth\).*test_x"):
        evaluate("classification", Y, Y * 1.0, split="test", baseline_names=["majority"], **given)


def test_an_error_in_a_baseline_names_it():
    """Without a vocabulary, training rows of three classes do not fit scored rows of two."""
    with pytest.raises(EvaluationError, match="Baseline 'majority': y_pred has shape"):
        train = (X, np.arange(40) % 3)
        evaluate("classification", Y, Y * 1.0, split="t", train=train, test_x=X, baseline_names=["majority"])


@pytest.mark.parametrize("names", [("no", "yes"), (False, True), (3, 9)])
def test_classes_and_weights_reach_model_baselines_and_figures(names):
    """A split of one class, with text and list features, weights, and labels of any kind, has a report."""
    truth = [names[0]] * 40
    features = pd.DataFrame({"x": X[:, 0], "town": ["A", "B"] * 20, "emb": [[1.0]] * 40})
    learned = [names[int(one)] for one in Y]
    report = evaluate(
        "classification",
        truth,
        np.linspace(0, 1, 40),
        split="test",
        classes=names,
        weights=np.arange(40.0),
        train=(features, learned, np.ones(40)),
        test_x=features,
        baseline_names=["majority", "logistic"],
    )
    assert report.metrics["accuracy"].value == pytest.approx(sum(range(20)) / sum(range(40)))
    assert report.baselines["logistic"]["accuracy"].value < 0.5
    assert report.notes["roc_auc"] == (
        f"no value: all 40 rows are of class {names[0]!r}, and it compares classes"
    )
    assert report.notes["baseline features"].endswith("leave out emb")
    verdict = decide(report, "roc_auc", 0.5)
    assert not verdict.passed and verdict.score is None
    assert f"roc_auc has no value: all 40 rows are of class {names[0]!r}" in str(verdict)
    assert EvaluationReport.model_validate_json(report.model_dump_json()).notes == report.notes


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", plugins.names("metric", "regression") + plugins.names("metric", "classification")
)
def test_every_metric_of_rows_that_cannot_be_told_apart_has_a_value_or_a_reason(name):
    """Rows that are all alike: a value or a reason, and never NaN or a warning."""
    task, *_ = plugins.TABLE["metric"][name].task.split()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for truth in ([0, 0], [1, 1], [1]):
            report = evaluate(task, truth, [0.5] * len(truth), split="test", classes=(0, 1))
            score = report.metrics[name]
            assert (score.value is None) == bool(score.reason)
            assert decide(report, name, 0.0 if report.directions[name] else 1e9).passed is (
                score.value is not None
            )


def test_an_unknown_task_lists_the_known_ones():
    """A misspelt task stops the evaluation, and the message lists the known tasks."""
    with pytest.raises(
        PluginError,
        match=r"Unknown task 'rankings'.*classification, forecast, loss, multilabel, multioutput, ranking",
    ):
        evaluate("rankings", Y, Y, split="test")


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_tasks_keep_the_interface(name):
    """A task is found by its own name and scores exactly the metrics it declares."""
    task = plugins.load("task", name)()
    assert isinstance(task, Task) and task.name == name
    assert task.score([0, 1, 1], [0.2, 0.4, 0.9]).keys() == task.metrics.keys()


def test_importing_costs_no_heavy_library():
    """Naming a task in a configuration must not load scikit-learn."""
    heavy = "{'sklearn', 'matplotlib', 'pandas', 'numpy', 'scipy', 'torch', 'mlflow'}"
    code = f"import sys, mlops_lib.evaluation; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_old_import_paths_still_work():
    """Notebooks in existing projects import `overview` and `profile` from mlops_lib.evaluation."""
    from mlops_lib.data_checks import profile as profile_now
    from mlops_lib.evaluation import overview, profile
    from mlops_lib.evaluation.figures import overview as overview_now

    assert (overview, profile) == (overview_now, profile_now)
