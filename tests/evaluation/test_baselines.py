"""Baselines learn from the training rows alone, and refuse rows that they cannot learn from."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mlops_lib import config, plugins
from mlops_lib.errors import ConfigError, EvaluationError
from mlops_lib.evaluation import baselines


def test_majority_is_the_shares_in_training():
    """The baseline answers with the training shares, not with those of the rows it is scored on."""
    predict = baselines.majority([[0.0]] * 4, ["n", "y", "n", "n"])
    assert predict([[0.0]] * 2).tolist() == [0.25, 0.25]
    predict = baselines.majority([[0.0]] * 4, [2, 0, 1, 1])
    assert predict([[0.0]]).tolist() == [[0.25, 0.5, 0.25]]


def test_logistic_learns_what_a_line_can_tell_apart():
    """It separates a shifted class in spite of gaps, infinities, an empty column and reordered columns."""
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.5
    x = pd.DataFrame({"signal": rng.normal(size=400) + 4 * y, "noise": rng.normal(size=400), "empty": np.nan})
    x.loc[:3, "noise"] = [np.nan, np.inf, -np.inf, np.nan]
    predict = baselines.logistic(x[:300], y[:300])
    got = predict(x.loc[300:, ["empty", "noise", "signal"]])
    assert got.shape == (100,) and roc_auc_score(y[300:], got) > 0.97


def test_logistic_of_three_classes_has_a_column_each():
    """Columns come in sorted label order and sum to one."""
    y = np.repeat(["a", "b", "c"], 30)
    x = np.repeat(np.eye(3), 30, axis=0)
    got = baselines.logistic(x, y)(np.eye(3))
    assert got.argmax(axis=1).tolist() == [0, 1, 2] and got.sum(axis=1) == pytest.approx(1)


def test_linear_baselines_use_text_and_times():
    """A category and a date tell the rows apart; a category of the test rows alone is no error."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = pd.DataFrame(
        {"city": np.array(["Oslo", "Bonn", "Rome"])[y], "day": pd.Timestamp(0) + pd.to_timedelta(y, "D")}
    )
    x.loc[3, "city"] = None
    labels = np.array(["a", "b", "c"])[y]
    for columns in (["city"], ["day"], ["city", "day"]):
        got = baselines.logistic(x[columns], labels)(x[columns])
        assert (got.argmax(axis=1) == y).mean() > 0.99
    assert np.isfinite(
        baselines.ridge(x, y)(pd.DataFrame({"city": ["Lima", None], "day": [None, "2020-01-01"]}))
    ).all()


@pytest.mark.parametrize("labels", [("no", "yes"), (False, True), (-5, 7), ("0", "1"), (10**12, 10**12 + 1)])
def test_labels_of_any_kind_are_learned(labels):
    """Text, booleans and any integers: the second class is the positive one."""
    y = np.arange(40) >= 20
    truth = [labels[int(one)] for one in y]
    for name in ("majority", "logistic"):
        predict = plugins.load("baseline", name)(np.arange(40.0)[:, None], truth, classes=labels)
        assert predict(np.array([[0.0], [39.0]])).shape == (2,)
    assert predict(np.array([[0.0], [39.0]])).round().tolist() == [0, 1]


def test_a_class_that_a_sample_lacks_has_a_column():
    """Baselines learn from a sample, and answer for all classes of the train split."""
    x, y = np.arange(10.0)[:, None], ["a", "c"] * 5
    assert baselines.majority(x, y, classes=["a", "b", "c"])(x)[0].tolist() == [0.5, 0, 0.5]
    assert baselines.logistic(x, y, classes=["a", "b", "c"])(x)[:, 1].tolist() == [0] * 10
    assert baselines.logistic(x, ["a"] * 10, classes=["a", "b"])(x).tolist() == [0] * 10


def test_baselines_use_the_weights_of_the_training_rows():
    """A row of weight 3 counts as three rows."""
    x, y, weights = np.array([[0.0], [1.0]]), ["n", "y"], np.array([3.0, 1.0])
    assert baselines.majority(x, y, weights=weights)(x).tolist() == [0.25, 0.25]
    assert baselines.mean(x, [0.0, 4.0], weights=weights)(x).tolist() == [1.0, 1.0]
    assert baselines.ridge(x, [0.0, 4.0], weights=weights)(x).sum() < baselines.ridge(x, [0.0, 4.0])(x).sum()


@pytest.mark.parametrize(
    ("train_x", "train_y", "name", "message"),
    [
        ([[1.0]] * 2, [1, 1], "majority", "All 2 training rows are of class 1"),
        ([[1.0]] * 3, [0, 1], "logistic", "3 rows of features, 2 of truth"),
        ([[[1.0]]] * 2, [0, 1], "logistic", "No baseline can learn from"),
    ],
)
def test_a_baseline_that_cannot_be_fitted_says_why(train_x, train_y, name, message):
    """One class, uneven lengths and lists each have an error of their own."""
    with pytest.raises(EvaluationError, match=message):
        plugins.load("baseline", name)(train_x, train_y)


def test_mean_is_that_of_the_training_rows():
    """The constant comes from training, not from the rows it is scored on."""
    predict = baselines.mean([[0.0]] * 3, [1, 2, 6])
    assert predict([[0.0]] * 2).tolist() == [3.0, 3.0]


def test_ridge_learns_a_logarithm():
    """The signed logarithm in its pipeline makes a long-tailed feature linear, on both sides of zero."""
    x = np.random.default_rng(0).lognormal(2, 1, size=(500, 1)) * np.where(np.arange(500) % 2, 1, -1)[:, None]
    y = 3 * np.sign(x[:, 0]) * np.log1p(np.abs(x[:, 0])) + 1
    got = baselines.ridge(x[:400], y[:400])(x[400:])
    assert np.abs(got - y[400:]).max() < 0.1


@pytest.mark.parametrize(
    ("task", "name", "message"),
    [
        (
            "classification",
            "oracle",
            "Unknown baseline 'oracle' of task 'classification'. Available: logistic, majority",
        ),
        (
            "regression",
            "majority",
            "Unknown baseline 'majority' of task 'regression'. Available: mean, ridge",
        ),
    ],
)
def test_a_baseline_must_belong_to_the_task(tmp_path, task, name, message):
    """The configuration refuses an unknown baseline, and a known one of another task."""
    metric = plugins.names("metric", task)[0]
    file = tmp_path / "config.yaml"
    file.write_text(
        "data: {source: a.csv, label: y}\n"
        f"evaluation: {{task: {task}, metric: {metric}, threshold: 0.5, baselines: [{name}]}}\n"
    )
    with pytest.raises(ConfigError, match=message):
        config.load(file)
