"""A new protocol of the service is one module and one line."""

import importlib
import json
import sys
import time

import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.web import routes

PROTOCOL = """
from serving.protocols.inference import Asked, InferenceRoute
from serving.web.call import Reply
from serving.web.route import MODEL_ROWS

def decode(call, body, model):
    return Asked(model.schema.parse(body))

def encode(call, asked, answered):
    text = ",".join(f"{value:.3f}" for value in answered.predictions)
    return Reply(text.encode(), [(b"content-type", b"text/csv")])

ROUTES = (
    InferenceRoute(path="/csv", tag="csv", request=MODEL_ROWS, decode=decode, encode=encode, summary="Predictions as CSV"),
)
"""


@pytest.fixture
def client(trained, tmp_path, monkeypatch):
    """The application with the toy protocol and the shared model, in this process."""
    (tmp_path / "toy_protocol.py").write_text(PROTOCOL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(routes, "PROTOCOLS", [*routes.PROTOCOLS, importlib.import_module("toy_protocol")])
    with TestClient(create_app(trained.project.settings(serving__stage="Staging"))) as client:
        for _ in range(600):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.1)
        yield client
    sys.modules.pop("toy_protocol")


def test_a_toy_protocol_answers_and_shares_limits_problems_metrics_and_openapi(client, trained):
    """Request ids, problem objects, metrics and the API's description follow from its route."""
    row = {"frequency": 2, "recency_days": 150, "tenure_days": 260, "mean_amount": 30.5, "total_amount": 91.5}
    row |= {"quantity": 6, "days_since_last": 110}
    answer = client.post(
        "/csv", content=json.dumps({"inputs": [row, row]}), headers={"X-Request-ID": "toy-1"}
    )
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/csv"
    first, second = answer.text.split(",")
    assert first == second and 0 < float(first) < 1
    assert answer.headers["x-request-id"] == "toy-1"
    refused = client.post("/csv", content="no JSON")
    assert refused.status_code == 400 and refused.json()["code"] == "invalid_json"
    assert client.get("/csv").status_code == 405
    assert 'route="/csv",status="200"' in client.get("/metrics").text
    assert client.get("/openapi.json").json()["paths"]["/csv"]["post"]["summary"] == "Predictions as CSV"
