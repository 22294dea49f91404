"""Models of rankings and forecasts: networks and estimators with scores or quantiles, judged and compared with a champion."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import BaseEstimator, RegressorMixin

from mlops_lib import config, loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.evaluation import paired
from mlops_lib.training import rows_file


class ThreeQuantiles(RegressorMixin, BaseEstimator):
    """Level and spread of each store, as the quantiles 0.1, 0.5 and 0.9."""

    def fit(self, x, y):
        self.levels_ = {
            level: np.quantile(y[x["수준"] == level], [0.1, 0.5, 0.9]) for level in set(x["수준"])
        }
        return self

    def predict(self, x):
        return np.array([self.levels_[level] for level in x["수준"]])


def trained(folder, rows, wrapper, implementation, data, **evaluation):
    """Dataset, settings, result and report of a model that is trained on rows and judged."""
    rows.to_parquet(folder / "rows.parquet")
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "tasks"},
        "data": {"source": "rows.parquet", **data},
        "model": {"wrapper": wrapper, "implementation": implementation},
        "train": {"max_epochs": 20},
        "evaluation": evaluation,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    settings = config.load(folder / "config.yaml")
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    return dataset, settings, result, model.evaluate(dataset, settings)


def same_everywhere(dataset, result):
    """Answers of the loaded model, equal for one row alone and from MLflow without the platform."""
    rows = dataset.load("test").head(7)[list(dataset.schema.features)]
    model = wrappers.load(result.model_uri)
    answers = model.predict(rows)
    np.testing.assert_allclose(model.predict(rows.head(1).to_dict("records"))[0], answers[0], rtol=1e-6)
    pyfunc = mlflow.pyfunc.load_model(result.model_uri).predict(rows)
    np.testing.assert_allclose(np.asarray(pyfunc, dtype=float).reshape(answers.shape), answers, rtol=1e-6)
    return answers


@pytest.mark.slow
def test_a_network_gives_scores(tmp_path, monkeypatch):
    """One number for each row, which orders the rows of a group."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"질의": np.repeat(np.arange(80), 6), "일치": random.normal(size=480)})
    rows["관련도"] = np.clip(np.round(rows["일치"]), 0, 3).astype(int)
    dataset, settings, result, report = trained(
        tmp_path, rows, "lightning", "tabular", {"label": "관련도", "key": "질의"},
        task="ranking", metric="mrr", threshold=0.8, k=3,
    )  # fmt: skip
    assert report.verdict.passed, report.verdict.reasons
    assert same_everywhere(dataset, result).shape == (7,)
    judged = report.judged
    assert len(set(judged.entities)) == dataset.load("test")["질의"].nunique()
    assert paired.compare(judged, judged, {"ndcg_at_k": None}, settings=settings)[0].outcome == "not_worse"


@pytest.mark.slow
def test_an_estimator_gives_quantiles(tmp_path, monkeypatch):
    """[rows, quantiles] on every way; the stored rows give the same scores again."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    days = pd.date_range("2026-01-01", periods=100)
    stores = [
        pd.DataFrame({"가게": name, "날짜": days, "수준": level, "매출": level + random.normal(size=100)})
        for name, level in (("서울", 90), ("부산", 30))
    ]
    dataset, settings, result, report = trained(
        tmp_path, pd.concat(stores), "sklearn", f"{__name__}:ThreeQuantiles",
        {"label": "매출", "key": "가게", "split": {"by": "time", "column": "날짜"}},
        task="forecast", metric="pinball", threshold=0.5, quantiles=[0.1, 0.5, 0.9], baselines=["last_value"],
    )  # fmt: skip
    assert report.verdict.passed, report.verdict.reasons
    assert (
        report.metrics["coverage_error"].value < 0.2
        and report.baselines["last_value"]["pinball"].value is None
    )
    assert same_everywhere(dataset, result).shape == (7, 3)
    rows_file.write(report.judged, tmp_path / "judged.parquet")
    stored = rows_file.read(tmp_path / "judged.parquet")
    names = ("mase", "pinball", "mae")
    for found in paired.compare(stored, report.judged, dict.fromkeys(names), settings=settings):
        assert found.challenger == found.champion == pytest.approx(report.metrics[found.metric].value)
        assert found.outcome == "not_worse" and found.entities == 6
