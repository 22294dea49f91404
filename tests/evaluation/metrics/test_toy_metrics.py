"""A new metric is one file and one line: toy metrics of classification, regression and text."""

import sys

import numpy as np
import pytest

from mlops_lib import config, plugins
from mlops_lib.errors import ConfigError, EvaluationError
from mlops_lib.evaluation import decide, evaluate

TOY = """
from mlops_lib.evaluation.metrics import TextMetric, metric

@metric(higher_is_better=False, lowest=0, highest=1)
def worst_miss(cases):
    return abs(cases.one_hot - cases.probabilities).max()

@metric(higher_is_better=False, lowest=0)
def largest_error(cases):
    return abs(cases.truth - cases.predicted).max()

class Shouting(TextMetric):
    async def row(self, case):
        return float(case.answer.isupper())

def plain(cases):
    return len(cases.truth)
plain.higher_is_better = False

def broken(cases):
    raise ZeroDivisionError("nothing to divide by")

def undefined(cases):
    return float("nan")
"""
#: Task -> (truth, predictions, metric, object in the module, its value).
TASKS = {
    "classification": ([0, 1, 1], [0.1, 0.4, 0.9], "worst_miss", "worst_miss", 0.6),
    "regression": ([1.0, 2.0], [1.5, 5.0], "largest_error", "largest_error", 3.0),
    "text": (["a", "b"], ["A", "b"], "shouting", "Shouting", 0.5),
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with toy metrics on the import path; its name."""
    (tmp_path / "toy_metrics.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "toy_metrics"
    sys.modules.pop("toy_metrics", None)


def settings(folder, **evaluation):
    evaluation = {"threshold": 0.5, **evaluation}
    (folder / "config.yaml").write_text(f"data: {{source: a.csv, label: y}}\nevaluation: {evaluation}\n")
    return config.load(folder / "config.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_one_file_and_one_line_add_a_metric(task, module, tmp_path, monkeypatch):
    """With its line in the table a metric is reported, can be the gate's, and keeps its direction."""
    truth, predicted, name, attribute, value = TASKS[task]
    line = plugins.Plugin(f"{module}:{attribute}", task=task)
    monkeypatch.setitem(plugins.TABLE["metric"], name, line)
    report = evaluate(
        task, truth, predicted, split="test", settings=settings(tmp_path, task=task, metric=name)
    )
    assert report.metrics[name].value == pytest.approx(value)
    verdict = decide(report, name, 0.4)
    assert verdict.passed is verdict.higher_is_better is (task == "text")


def test_the_configuration_knows_the_bounds_of_a_new_metric(module, tmp_path, monkeypatch):
    """A threshold that no model can reach is refused when the configuration is read."""
    line = plugins.Plugin(f"{module}:worst_miss", task="classification")
    monkeypatch.setitem(plugins.TABLE["metric"], "worst_miss", line)
    with pytest.raises(ConfigError, match="worst_miss is 0 at least, and lower is better"):
        settings(tmp_path, metric="worst_miss", threshold=-0.1)


@pytest.mark.parametrize("task", TASKS)
def test_a_dotted_path_needs_no_line(task, module, tmp_path):
    """A metric of the user's own is named by its path, as the gate's metric or among the others."""
    truth, predicted, _, attribute, value = TASKS[task]
    path = f"{module}:{attribute}"
    report = evaluate(
        task, truth, predicted, split="test", settings=settings(tmp_path, task=task, metric=path)
    )
    assert report.metrics[path].value == pytest.approx(value)
    assert set(report.metrics) > {path}


def test_a_plain_function_is_a_metric_too(module, tmp_path):
    """Attributes of a function give its direction, as for text."""
    asked = settings(tmp_path, task="regression", metric="rmse", metrics=[f"{module}:plain"])
    report = evaluate("regression", np.zeros(4), np.zeros(4), split="test", settings=asked)
    assert report.flat() == {f"{module}:plain": 4.0, "rmse": 0.0}
    assert report.directions[f"{module}:plain"] is False


def test_a_metric_that_fails_is_named(module, tmp_path):
    """The error of a metric of the user's own says which metric it was."""
    asked = settings(tmp_path, task="regression", metric=f"{module}:broken")
    with pytest.raises(EvaluationError, match=r"broken' failed: ZeroDivisionError: nothing to divide by"):
        evaluate("regression", [1.0], [1.0], split="test", settings=asked)


def test_a_metric_without_a_value_passes_no_gate(module, tmp_path):
    """NaN is no score."""
    path = f"{module}:undefined"
    asked = settings(tmp_path, task="regression", metric=path)
    report = evaluate("regression", [1.0], [1.0], split="test", settings=asked)
    assert report.metrics[path].value is None and not decide(report, path, 0.0).passed


@pytest.mark.parametrize(
    ("task", "metric", "message"),
    [
        ("classification", "rmse", "classification has the metrics roc_auc, average_precision"),
        ("regression", "roc_auc", "regression has the metrics r2, rmse"),
        ("text", "roc_auc", "text has the metrics bleu, chrf"),
    ],
)
def test_a_metric_must_belong_to_the_task(tmp_path, task, metric, message):
    """The configuration refuses a gate on a metric that the task cannot compute."""
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, task=task, metric=metric)


@pytest.mark.slow
def test_reading_a_configuration_imports_nothing_heavy(tmp_path):
    """Checking metric and threshold does not load scikit-learn, pandas or an LLM client."""
    import subprocess

    heavy = "{'sklearn', 'matplotlib', 'pandas', 'scipy', 'torch', 'mlflow', 'openai', 'sacrebleu', 'ragas'}"
    settings(tmp_path)
    for name in ("log_loss", "rmse", "mrr", "mase", "rouge_l", "faithfulness"):
        task, *_ = plugins.TABLE["metric"][name].task.split()
        settings(tmp_path, task=task, metric=name)
        code = f"import sys; from mlops_lib import config; config.load(); print(sorted({heavy} & sys.modules.keys()))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout.strip() == "[]", name
