"""Proof that a model with ``data.prepare`` answers rows of the source with the predictions that the evaluation scored."""

import json
import sys

import pandas as pd
import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.registry import Registry
from tests.serving.test_served_as_trained import MODELS, OWN
from tests.support.carrying import python
from tests.support.churn import KEY, LABEL, customers, sent
from tests.support.promoting import promote
from tests.support.shop import running

pytestmark = pytest.mark.slow
PREPARE = """
import json
from pathlib import Path

import pandas as pd

from bands import band

NAMES = json.loads((Path(__file__).parent / "names.json").read_text(encoding="utf-8"))


def rows(frame):
    frame["left"] = frame.pop("이탈").map({"예": "yes", "아니오": "no"})
    signup = pd.to_datetime(frame.pop("가입일"))
    frame["signup_month"] = signup.dt.month
    frame["weeks"] = (pd.Timestamp("2026-01-01") - signup).dt.days / 7
    frame["a_month"] = frame["총 요금"] / frame["가입 개월"].clip(lower=1)
    frame["band"] = frame["월 요금"].map(band)
    frame["payment"] = frame.pop("결제.수단").map(NAMES)
    return frame
"""
BANDS = "def band(charge):\n    return 'high' if charge > 70 else 'low'\n"
NAMES = {"계좌 이체 (자동)": "transfer", "신용카드": "card", "전자 청구서": "bill"}
OUTSIDE = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
answers = mlflow.pyfunc.load_model(sys.argv[2]).predict(pd.read_json(sys.argv[3], orient="records", dtype=False))
assert not {"mlops_lib", "serving"} & {name.partition(".")[0] for name in sys.modules}, "outside the platform"
print(json.dumps(answers.tolist()))
"""


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory):
    """Settings, test rows as the source has them, the predictions that the evaluation scores for them, and the model."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    for name, text in {"own.py": OWN, "prepare_customers.py": PREPARE, "bands.py": BANDS}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "names.json").write_text(json.dumps(NAMES, ensure_ascii=False), encoding="utf-8")
    source = customers()
    source.to_csv(folder / "customers.csv", index=False)
    data = {"source": "customers.csv", "label": "left", "key": KEY}
    content = {
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "experiment": "churn"},
        "data": {**data, "prepare": "prepare_customers:rows", "served_rows": "raw"},
        "model": {"name": "churn", **MODELS[request.param]},
        "train": {"max_epochs": 3, "batch_size": 64},
        "evaluation": {"threshold": 0.0},
        "serving": {"retry_s": 0.2, "cache": "cache", "challenger": ""},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        settings = config.load(folder / "config.yaml")
        declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        result = wrappers.from_settings(settings).train(dataset, settings)
        expected = wrappers.load(result.model_uri).answers(dataset.load("test"), settings).tolist()
    for name in ("own", "prepare_customers", "bands"):
        sys.modules.pop(name, None)
    version = Registry(settings).register("churn", result.run_id, {})
    promote(settings, "churn", version.version)
    keys = dataset.load("test")[KEY]
    rows = sent(source.set_index(KEY, drop=False).loc[keys].reset_index(drop=True))
    return settings, rows, expected, result.model_uri


def test_rows_of_the_source_get_the_predictions_of_the_evaluation(trained, tmp_path):
    """With the label and without, alone and together; by the service and by MLflow without this library."""
    settings, rows, expected, model_uri = trained
    assert len(set(expected)) > 5, "rows that cannot be told apart prove nothing"
    unlabelled = [{name: value for name, value in row.items() if name not in (LABEL, KEY)} for row in rows]
    with running(settings) as service:
        for given, size in ((rows, len(rows)), (unlabelled, 1), (unlabelled, 7)):
            found = []
            for at in range(0, len(rows), size):
                status, answer = service.post("/predict", {"inputs": given[at : at + size]})
                assert status == 200, answer["detail"]
                found += answer["predictions"]
            assert found == expected, size
        assert answer["classes"] == ["no", "yes"]
        assert len(service.try_examples()) == 5
        shown = service.get("/openapi.json")[1]["components"]["schemas"]["Row"]["properties"]
        assert {"가입일", "월 요금"} <= shown.keys() and not {"band", "weeks"} & shown.keys()
        status, answer = service.post("/predict", {"inputs": [rows[0] | {"가입일": "someday"}]})
        assert status == 422 and "data.prepare (prepare_customers:rows) refuses the rows" in answer["detail"]
    pd.DataFrame(unlabelled).to_json(tmp_path / "rows.json", orient="records", force_ascii=False)
    done = python(OUTSIDE, tmp_path, settings.mlflow.tracking_uri, model_uri, str(tmp_path / "rows.json"))
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [one[1] if isinstance(one, list) else one for one in answers] == expected
