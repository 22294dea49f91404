"""/predict and /invoke: answers to good and bad rows of a trained model, in this process."""

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from mlops_lib import loaders, wrappers
from mlops_lib.registry import Registry
from tests.support.promoting import promote
from tests.support.waiting import until


@pytest.fixture(scope="module")
def production(trained_once, tmp_path_factory):
    """A project whose model is at Production."""
    project = trained_once.project.copy(tmp_path_factory.mktemp("production") / "project")
    promote(project.settings(), "repurchase", 1)
    return project


@pytest.fixture(scope="module")
def client(production):
    """The service, ready."""
    from serving.app import create_app

    with TestClient(create_app(production.settings()), raise_server_exceptions=False) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the service is ready")
        yield client


@pytest.fixture(scope="module")
def rows(production):
    """Five customers of the test split, as request rows."""
    dataset = loaders.prepared(production.settings())
    frame = dataset.load("test")[list(dataset.schema.features)].head(5)
    return json.loads(frame.to_json(orient="records"))


@pytest.fixture(scope="module")
def expected(production, rows):
    """What the model itself says to them."""
    Registry(production.settings())
    return wrappers.load("models:/repurchase/1").predict(rows).tolist()


@pytest.mark.parametrize("path", ["/predict", "/invoke"])
def test_rows_get_predictions_in_their_order(client, rows, expected, path):
    """One answer for each row, in order, with the pinned model and a request id; both paths are one handler."""
    answer = client.post(path, json={"inputs": rows})
    assert answer.status_code == 200
    body = answer.json()
    assert body["predictions"] == pytest.approx(expected, abs=1e-6)
    assert len(set(np.round(expected, 6))) > 1, "rows that cannot be told apart prove no order"
    turned = client.post(path, json={"inputs": rows[::-1]}).json()
    assert turned["predictions"] == pytest.approx(expected[::-1], abs=1e-6)
    assert {"name": "repurchase", "version": 1, "stage": "Production"}.items() <= body["model"].items()
    assert body["model"]["run_id"] and body["request_id"]


def test_one_object_in_gives_one_prediction_out(client, rows, expected):
    """In the envelope or bare: a number, not a list of one; a list of one stays a list."""
    for body in ({"inputs": rows[0]}, rows[0]):
        assert client.post("/predict", json=body).json()["predictions"] == pytest.approx(
            expected[0], abs=1e-6
        )
    assert client.post("/predict", json={"inputs": rows[:1]}).json()["predictions"] == pytest.approx(
        expected[:1]
    )


def test_the_order_of_fields_does_not_matter(client, rows, expected):
    """Names decide, not positions."""
    turned = dict(reversed(rows[0].items()))
    assert client.post("/predict", json=turned).json()["predictions"] == pytest.approx(expected[0], abs=1e-6)


def test_a_request_id_is_given_back_or_made(client, rows):
    """The caller's id comes back in body and header; without one, or with one unfit for a log, a new one."""
    given = client.post("/predict", json={"inputs": rows}, headers={"X-Request-ID": "order-7"})
    assert given.json()["request_id"] == given.headers["X-Request-ID"] == "order-7"
    made = {client.post("/predict", json={"inputs": rows}).json()["request_id"] for _ in range(2)}
    assert len(made) == 2 and "order-7" not in made
    unfit = client.post("/predict", json={"inputs": rows}, headers={"X-Request-ID": "a b" * 100})
    assert unfit.json()["request_id"] == unfit.headers["X-Request-ID"] != "a b" * 100


def changed(row: dict, **fields) -> dict:
    """A row with fields changed; None takes one out."""
    return {name: value for name, value in {**row, **fields}.items() if value is not None}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"quantity": None}, "quantity"),
        ({"colour": "red"}, "colour"),
        ({"quantity": "two"}, "quantity"),
        ({"quantity": [1]}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"mean_amount": "20.99"}, "mean_amount"),
    ],
)
@pytest.mark.parametrize("form", ["bare", "one", "second of two"])
def test_a_field_that_does_not_fit_is_named(client, rows, fields, word, form):
    """Missing, extra or mistyped: 422 with the field's name, in every form of the body."""
    row = changed(rows[0], **fields)
    body = {"bare": row, "one": {"inputs": row}, "second of two": {"inputs": [rows[1], row]}}[form]
    answer = client.post("/predict", json=body)
    problem = answer.json()
    assert answer.status_code == 422 and word in problem["detail"], problem
    assert problem["code"] and problem["request_id"] and problem["status"] == 422
    assert "Traceback" not in answer.text
    if form == "second of two":
        assert "1" in problem["detail"], "the row is not named"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (b"", 400),
        (b'{"inputs": [', 400),
        (b"\xff\xfe", 400),
        (b'{"inputs": []}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b"7", 422),
        (b'"text"', 422),
        (b'{"inputs": null}', 422),
        (b'{"inputs": [null]}', 422),
        (b'{"inputs": [[1, 2]]}', 422),
        (b"{}", 422),
        (b'{"inputs": [{"frequency": NaN}]}', 400),
    ],
)
def test_a_body_of_another_form_is_answered(client, body, status):
    """Not JSON is 400, JSON that is no row is 422; each with a stable code and what was wrong."""
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert problem["code"] and problem["detail"] and "Traceback" not in answer.text


def test_after_all_that_the_service_still_answers(client, rows, expected):
    """No bad request has left anything behind."""
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert client.post("/predict", json={"inputs": rows}).json()["predictions"] == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"input": {"frequency": 1}}', 'Did you mean "inputs"?'),
        ('{"inputs": [{"frequency": NaN}]}', "JSON has no NaN: send null"),
        ('{"inputs": {"user_id": 5}}', "no feature of this version is looked up by it"),
    ],
)
def test_common_slips_are_answered_with_what_was_meant(client, body, said):
    """The envelope's name, Python's own NaN, and a key where nothing is looked up."""
    answer = client.post("/predict", content=body)
    assert answer.status_code in (400, 422) and said in answer.json()["detail"], answer.json()
