"""`implementation: auto` from a CSV with texts, a date, gaps and a text label to predictions outside the platform."""

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_lib import loaders, tracking, wrappers
from tests.support import churn

ELSEWHERE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mlops_lib", "sklearn", "lightning"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import mlflow.pyfunc, numpy, pandas

model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict(pandas.read_csv(sys.argv[2])))
numpy.save(sys.argv[4], model.predict(model.input_example))
"""


def predictions_elsewhere(folder, rows, tmp_path):
    """MLflow's predictions for `rows` and for the logged example, where platform and scikit-learn cannot be imported."""
    files = [tmp_path / name for name in ("rows.csv", "found.npy", "example.npy")]
    rows.to_csv(files[0], index=False)
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(folder), *map(str, files)], check=True, cwd=tmp_path)
    return np.load(files[1]), np.load(files[2])


def configured(stored, **model):
    """Settings and prepared dataset of a project with the table of customers."""
    churn.customers(300).to_csv(stored.root / "customers.csv", index=False)
    stored.configure(
        data={"source": "customers.csv", "prepare": "", "key": churn.KEY, "label": churn.LABEL, "checks": {}},
        model=model,
        evaluation={"threshold": 0.6, "baselines": ["majority"]},
    )
    settings = stored.settings()
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    return settings, loaders.prepared(settings)


@pytest.mark.slow
def test_auto_takes_a_table_of_customers_and_predicts_the_same_everywhere(stored, tmp_path):
    """Trained and judged; a frame, rows of JSON, a matrix, and MLflow elsewhere give the same bits."""
    settings, dataset = configured(stored, wrapper="sklearn", implementation="auto", params={})
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    report = model.evaluate(dataset, settings)
    assert report.verdict.passed and model.classes == sorted(["예", "아니오"])
    assert model.columns == dataset.schema
    again = wrappers.load(result.model_uri)
    rows = dataset.load("test")
    expected = again.predict(rows)
    features = list(dataset.schema.features)
    sent = rows[features].astype(object).where(rows[features].notna(), None).to_dict("records")
    assert np.array_equal(again.predict(sent), expected)
    assert np.array_equal(again.predict(again.encoder.encode([list(row.values()) for row in sent])), expected)
    raw = pd.read_csv(stored.root / "customers.csv")
    raw = raw.set_index(churn.KEY).loc[rows[churn.KEY].astype(str)].reset_index()
    found, of_example = predictions_elsewhere(again.folder, raw, tmp_path)
    assert np.array_equal(found, expected)
    assert np.array_equal(of_example, again.predict(again.example()))
    assert not list(again.folder.rglob("*.pkl"))


@pytest.mark.slow
def test_a_training_shows_the_learners_and_the_rows_of_both_splits(stored, capsys):
    """A model without epochs has no curve: the notebook shows a table, and the rows add up."""
    settings, dataset = configured(stored, wrapper="sklearn", implementation="auto", params={})
    run_id = wrappers.from_settings(settings).train(dataset, settings).run_id
    train, validation = dataset.count("train"), dataset.count("validation")
    said = f"Fitted on {train + validation:,} rows: {train:,} of train + {validation:,} of validation (train.refit)."
    assert said in capsys.readouterr().out
    assert tracking.history(run_id, ["val_loss"]) == {"val_loss": []}
    table = tracking.choice(run_id)
    assert list(table) == ["learner", "weight", "rounds"] and table["learner"].iloc[-1] == "linear"
    assert (table["rounds"].iloc[:-1] > 0).all() and table["weight"].sum() > 0


@pytest.mark.slow
def test_exact_decimals_are_numbers_from_the_file_to_the_prediction(stored):
    """A decimal128 column, as databases write money: trained, judged, and the same for floats and texts of JSON."""
    rows = churn.customers(300)
    cents = np.random.default_rng(0).integers(100, 100_000, len(rows))
    table = pa.Table.from_pandas(rows, preserve_index=False)
    money = pa.array([Decimal(int(one)) / 100 for one in cents], pa.decimal128(10, 2))
    pq.write_table(table.append_column("money", money), stored.root / "customers.parquet")
    stored.configure(
        data={
            "source": "customers.parquet",
            "prepare": "",
            "key": churn.KEY,
            "label": churn.LABEL,
            "checks": {},
        },
        model={"wrapper": "sklearn", "implementation": "auto", "params": {}},
        evaluation={"threshold": 0.6, "baselines": ["majority"]},
    )
    settings = stored.settings()
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    assert dataset.schema.kinds["money"] == "number"
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    assert model.evaluate(dataset, settings).verdict.passed
    test = dataset.load("test").head(5)
    exact = test.assign(money=[Decimal(f"{one:.2f}") for one in test["money"]])
    assert model.predict(exact).tolist() == model.predict(test).tolist()
