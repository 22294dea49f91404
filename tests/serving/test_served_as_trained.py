"""Proof that a served model answers raw rows of its source with the predictions that the evaluation scored."""

import json

import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from tests.support import raw_requests
from tests.support.churn import KEY, LABEL, customers, sent
from tests.support.promoting import promote
from tests.support.shop import running

pytestmark = pytest.mark.slow
OWN = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def pipeline(random_state=0):
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encode = make_column_transformer((one_hot, make_column_selector(dtype_include=object)), remainder="passthrough")
    return make_pipeline(encode, HistGradientBoostingClassifier(max_iter=20, random_state=random_state))
"""
MODELS = {
    "auto": {"wrapper": "sklearn", "implementation": "auto"},
    "tabular": {"wrapper": "lightning", "implementation": "tabular"},
    "own pipeline": {"wrapper": "sklearn", "implementation": "own:pipeline"},
}


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory):
    """Settings, test rows as the source has them, and the predictions that the evaluation scores for them."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    (folder / "own.py").write_text(OWN)
    source = customers()
    source.to_csv(folder / "customers.csv", index=False)
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "churn"},
        "data": {"source": "customers.csv", "label": LABEL, "key": KEY},
        "model": {"name": "churn", **MODELS[request.param]},
        "train": {"max_epochs": 3, "batch_size": 64},
        "evaluation": {"threshold": 0.0},
        "serving": {"retry_s": 0.2, "cache": "cache", "challenger": ""},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    settings = config.load(folder / "config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    wrapper = wrappers.from_settings(settings)
    result = wrapper.train(dataset, settings)
    version = Registry(settings).register("churn", result.run_id, {})
    promote(settings, "churn", version.version)
    test = dataset.load("test")
    expected = wrapper.answers(test[list(dataset.schema.features)], settings).tolist()
    rows = sent(source.set_index(KEY, drop=False).loc[test[KEY]].reset_index(drop=True))
    return settings, rows, expected, dataset.schema


def test_raw_rows_get_the_predictions_of_the_evaluation(trained):
    """Through every protocol, alone, in sevens and all at once: to the last bit that JSON carries.

    The logged example, which OpenAPI shows, is answered too.
    """
    settings, rows, expected, schema = trained
    assert len(set(expected)) > 5, "rows that cannot be told apart prove nothing"
    assert any(None in row.values() for row in rows), "a test split without gaps proves less"
    with running(settings) as service:
        for route in raw_requests.ROUTES:
            for size in (1, 7, len(rows)) if route in ("/predict", "/v2") else (len(rows),):
                found = []
                for at in range(0, len(rows), size):
                    path, body, headers = raw_requests.request(
                        route, rows[at : at + size], schema.kinds, "churn"
                    )
                    kind = headers.get("content_type", "application/json")
                    status, answer = service.post(path, body, **{"Content-Type": kind})
                    assert status == 200, (route, size, answer["detail"])
                    found += raw_requests.predictions(answer)
                assert found == expected, (route, size)
        answer = service.post("/predict", {"inputs": rows[:1]})[1]
        assert answer["classes"] == ["아니오", "예"]
        assert len(service.try_examples()) == 5
        document = json.dumps(service.get("/openapi.json")[1], ensure_ascii=False)
        assert "a date or time, such as 2026-01-31" in document
