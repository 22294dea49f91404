"""The weight of a row reaches the fit and the metrics, and a column that cannot be one is refused before."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from mlops_lib import loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError

MODELS = {
    "own": {"wrapper": "sklearn", "implementation": "sklearn.linear_model:LogisticRegression"},
    "auto": {"wrapper": "sklearn", "implementation": "auto"},
    "tabular": {"wrapper": "lightning", "implementation": "tabular"},
}


def rows(count: int = 600) -> pd.DataFrame:
    """A label that follows `x` in heavy rows and its opposite in light ones, which are more."""
    rng = np.random.default_rng(0)
    x, heavy = rng.normal(size=count), np.arange(count) % 3 == 0
    label = np.where((x > 0) == heavy, "yes", "no")
    return pd.DataFrame({"x": x, "label": label, "weight": np.where(heavy, 5.0, 0.5)})


def prepared(stored, table: pd.DataFrame, model: str = "own"):
    """The settings and the dataset of a project on `table`."""
    table.to_csv(stored.root / "rows.csv", index=False)
    stored.configure(
        data={
            "source": "rows.csv",
            "prepare": "",
            "key": "",
            "label": "label",
            "weight": "weight",
            "checks": {},
        },
        model={**MODELS[model], "params": {}},
        train={"max_epochs": 20, "batch_size": 64},
        evaluation={"metric": "accuracy", "threshold": 0.1, "baselines": ["majority"]},
    )
    settings = stored.settings()
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    return settings, loaders.prepared(settings)


@pytest.mark.slow
def test_fit_and_metrics_are_those_of_scikit_learn_with_weights(stored):
    """Coefficients and accuracy equal an independent weighted fit, and the weight is no feature."""
    settings, dataset = prepared(stored, rows())
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    report = model.evaluate(dataset, settings)
    train, test = dataset.load("train"), dataset.load("test")
    own = LogisticRegression().fit(train[["x"]], train["label"], sample_weight=train["weight"])
    expected = accuracy_score(test["label"], own.predict(test[["x"]]), sample_weight=test["weight"])
    assert list(dataset.schema.features) == ["x"]
    assert model.predict(test[["x"]]) == pytest.approx(own.predict_proba(test[["x"]])[:, 1])
    assert report.metrics["accuracy"].value == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["auto", "tabular"])
def test_the_default_models_follow_the_heavy_rows(stored, model):
    """Without weights they would follow the light rows, which are twice as many."""
    settings, dataset = prepared(stored, rows(), model)
    trained = wrappers.from_settings(settings)
    trained.train(dataset, settings)
    high, low = trained.predict([{"x": 2.0}, {"x": -2.0}])
    assert high > 0.6
    assert low < 0.4
    assert trained.evaluate(dataset, settings).metrics["accuracy"].value > 0.7


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, "negative values, such as -1"),
        (None, "no value in 1 rows"),
        ("inf", "infinite"),
        ("heavy", "a weight is a number"),
    ],
)
def test_a_column_that_is_no_weight_is_refused(stored, value, words):
    """Negative, missing, infinite and text: named before anything is trained."""
    table = rows()
    table["weight"] = table["weight"].astype(object)
    table.loc[7, "weight"] = value
    with pytest.raises(DataError, match=rf"data\.weight names 'weight', which .*{words}"):
        prepared(stored, table)
