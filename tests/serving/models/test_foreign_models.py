"""Models that somebody else logged to MLflow, served as they are, over every protocol."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mlops_lib import config
from tests.support.shop import CONFIG, ROOT, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A folder whose registry holds the models of foreign.py, and what each says to its rows."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/foreign.py")],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def tensors(rows):
    """Rows as a client of the Open Inference Protocol sends them: a tensor a column, or the one there is."""
    if isinstance(rows[0], dict):
        kinds = {"a": "INT32", "b": "FP32"}
        return [
            {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
            for name, kind in kinds.items()
        ]
    if isinstance(rows[0], str):
        return [{"name": "texts", "shape": [len(rows)], "datatype": "BYTES", "data": rows}]
    return [{"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": rows}]


@pytest.mark.parametrize("name", ["sklearn", "xgboost", "pytorch", "pyfunc"])
def test_a_foreign_model_is_served(foreign, name):
    """Started by its name alone, the service answers /predict, /invocations and OIP v2 as the model itself does."""
    folder, said = foreign
    rows, expected = said[name]["rows"], pytest.approx(said[name]["answers"], abs=1e-5)
    settings = config.load(folder / "config.yaml")
    with running(settings, MLFLOW_MODEL_NAME=name) as service:
        answers = {
            "/predict": service.post("/predict", {"inputs": rows}),
            "/invocations": service.post(
                "/invocations", {"inputs" if name == "pytorch" else "instances": rows}
            ),
            "oip": service.post(f"/v2/models/{name}/infer", {"inputs": tensors(rows)}),
        }
        assert [status for status, _ in answers.values()] == [200] * 3, answers
        output = answers["oip"][1]["outputs"][0]
        assert output["shape"][0] == len(rows) and output["data"] == expected
        for path in ("/predict", "/invocations"):
            assert np.ravel(answers[path][1]["predictions"]).tolist() == expected, path
        assert service.get(f"/v2/models/{name}")[1]["versions"] == ["1"]
        status, problem = service.post("/predict", {"inputs": [{"nonsense": 1}]})
        assert 400 <= status < 500 and problem["code"] == "invalid_input", problem


@pytest.mark.parametrize("name", ["ragged", "named", "dated"])
def test_what_is_no_array_is_served_too(foreign, name):
    """Lists of different lengths, a dict of arrays and datetimes: the model's own answers, and an API page."""
    folder, said = foreign
    rows, expected = said[name]["rows"], said[name]["answers"]
    with running(config.load(folder / "config.yaml"), MLFLOW_MODEL_NAME=name) as service:
        status, answer = service.post("/predict", {"inputs": rows})
        assert status == 200 and answer["predictions"] == expected, answer
        status, answer = service.post("/invocations", {"instances": rows})
        assert status == 200 and answer["predictions"] == expected, answer
        status, document = service.get("/openapi.json")
        assert status == 200
        logged = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        if "example" in logged:
            assert service.post("/predict", logged["example"])[0] == 200, logged["example"]
        if name == "dated":
            status, problem = service.post("/predict", {"inputs": [{"when": "0001-01-01T00:00:00+14:00"}]})
            assert status == 422 and "column 'when' is" in problem["detail"], problem
        if name == "ragged":
            output = service.post("/v2/models/ragged/infer", {"inputs": tensors(rows)})[1]["outputs"][0]
            assert (output["datatype"], output["shape"]) == ("BYTES", [len(rows)])
            assert [json.loads(text) for text in output["data"]] == expected


def test_an_answer_of_any_length_and_params_are_invocations_own(foreign):
    """In a process of the model's own: the whole answer, with the params of each request."""
    folder, said = foreign
    rows, expected = said["top"]["rows"], said["top"]["answers"]
    with running(config.load(folder / "config.yaml"), MLFLOW_MODEL_NAME="top") as service:
        assert service.post("/invocations", {"instances": rows})[1] == {"predictions": expected}
        for k in (0, 1, 5):
            status, answer = service.post("/invocations", {"instances": rows, "params": {"k": k}})
            assert status == 200 and answer["predictions"] == [f"a-{rank}" for rank in range(k)], answer
        status, problem = service.post("/predict", {"inputs": rows})
        assert (status, problem["code"]) == (500, "wrong_prediction_count") and "/invocations" in problem[
            "detail"
        ]


def test_a_chat_model_is_served_on_every_path(foreign):
    """In a process of its own: as a chat, as a row, and as MLflow's clients ask it."""
    folder, said = foreign
    (row,), (expected,) = said["echo"]["rows"], said["echo"]["answers"]
    with running(config.load(folder / "config.yaml"), MLFLOW_MODEL_NAME="echo") as service:
        for status, answer in (
            service.post("/v1/chat/completions", row),
            service.post("/invocations", row),
        ):
            assert status == 200 and answer["choices"][0]["message"]["content"] == expected, answer
        status, answer = service.post("/predict", {"inputs": [row, row]})
        assert status == 200 and len(answer["predictions"]) == 2, answer
        status, problem = service.post("/v1/chat/completions", {**row, "seed": 7})
        assert status == 422 and "'seed'" in problem["error"]["message"], problem
