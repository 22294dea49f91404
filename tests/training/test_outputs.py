"""Networks with several outputs: judged by the one that `evaluation.output` names, or an error before training."""

import mlflow
import numpy as np
import pytest

from mlops_lib import wrappers
from mlops_lib.errors import TrainingError
from tests.support.projects import written


@pytest.mark.slow
def test_an_autoencoder_is_judged_by_the_loss_of_each_row(stored):
    """`task: loss` takes the test rows' mean; the metrics that the module logs are in the report; the gate compares."""
    stored.configure(
        model={"implementation": "toy_outputs:SelfJudged", "params": {}},
        evaluation={
            "task": "loss", "output": "error", "metric": "mean_loss", "threshold": 9.0, "baselines": [], "metrics": [],
        },
    )  # fmt: skip
    settings, dataset = written(stored)
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    found = model.predict(dataset.load("test"))
    assert list(found[0]) == ["code", "error"] and len(found[0]["code"]) == 2
    report = model.evaluate(dataset, settings)
    assert report.metrics["mean_loss"].value == pytest.approx(np.mean([row["error"] for row in found]))
    assert (
        report.verdict.passed and not report.verdict.higher_is_better and list(report.figures) == ["losses"]
    )
    assert "val_loss" in set(report.tables["Training: the module's own metrics"]["metric"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "output", "words"),
    [
        ("one", "p", "evaluation.output names 'p', and forward gives one tensor"),
        ("scalar", "p", r"gives float32 of shape \[\] as 'loss' for 5 rows"),
        ("text", "p", "gives a str as 'name' for 5 rows"),
        ("items", "p", "which no graph can hold.*model.format: pickle"),
        ("drawn one", "", "forward gives two answers for the same rows, so it draws random numbers"),
        ("drawn", "p", "forward gives two answers in 'q' for the same rows"),
        ("beside one", "", "forward gives another answer for row 0 of the train split alone"),
        ("beside", "p", "forward gives another answer in 'q' for row 0 of the train split alone"),
        ("strangers", "p", "gives a list of 2 items, such as a dict of 'p'"),
    ],
)
def test_odd_answers_are_errors_before_training(stored, form, output, words):
    """No epoch is trained."""
    stored.configure(
        model={"implementation": "toy_outputs:Odd", "params": {"form": form}}, evaluation={"output": output}
    )
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match=words):
        wrappers.from_settings(settings).train(dataset, settings)
    (run,) = mlflow.search_runs(experiment_names=[settings.mlflow.experiment], output_format="list")
    assert run.data.metrics == {}


@pytest.mark.parametrize("output", ["", "vector"])
def test_the_judged_output_is_named(stored, output):
    """Without `evaluation.output`, or with another name, the error lists the outputs."""
    stored.configure(
        model={"implementation": "toy_outputs:SelfJudged", "params": {}}, evaluation={"output": output}
    )
    settings, dataset = written(stored)
    with pytest.raises(TrainingError, match="outputs code, error, and evaluation.output .*output: code"):
        wrappers.from_settings(settings).train(dataset, settings)
