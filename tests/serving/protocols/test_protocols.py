"""One running service, asked by the clients that people have."""

import socket
import time

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.support.shop import FEATURES, ROW, answers

pytestmark = pytest.mark.slow
ROWS = [ROW, {"frequency": 1, "recency": 9.0, "amount": 0.5}]


@pytest.fixture(scope="module")
def expected(shop):
    """What version 1 itself says to ROW."""
    return answers(shop, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": pd.DataFrame(ROWS).to_dict(orient="split")},
        {
            "dataframe_split": {
                "columns": list(ROWS[0])[::-1],
                "data": [list(row.values())[::-1] for row in ROWS],
            }
        },
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": {name: [row[name] for row in ROWS] for name in FEATURES}},
        pd.DataFrame(ROWS).to_csv(index=False).encode(),
    ],
    ids=["split", "split in another order", "records", "instances", "inputs", "csv"],
)
def test_mlflow_request_formats_are_answered_as_mlflow_does(shop_service, expected, body):
    """Each format of /invocations gives the same predictions, in MLflow's form of answer."""
    kind = "text/csv" if isinstance(body, bytes) else "application/json"
    status, said = shop_service.post("/invocations", body, **{"Content-Type": kind})
    assert status == 200 and list(said) == ["predictions"] and len(said["predictions"]) == 2, said
    assert said["predictions"][0] == pytest.approx(expected, abs=1e-6) != said["predictions"][1]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"inputs": {"frequency": [1, 2], "recency": [1.0]}}', "application/json", 422),
        (b'{"dataframe_split": {"columns": ["frequency"], "data": [[1, 2]]}}', "application/json", 422),
        (b'{"instances": [{"frequency": "three", "recency": 1, "amount": 1}]}', "application/json", 422),
        (b"frequency,recency,amount\nthree,1,1\n", "text/csv", 422),
        (b"", "text/csv", 422),
        (b"<rows/>", "text/xml", 415),
        (b"frequency,recency,amount\nthree,1,1\n", "Text/CSV", 422),
    ],
)
def test_what_no_format_allows_is_a_problem(shop_service, body, kind, status):
    """4xx with a code, never 5xx and never a traceback."""
    given, problem = shop_service.post("/invocations", body, **{"Content-Type": kind})
    assert given == status == problem["status"] and problem["code"] and "Traceback" not in str(problem)


def test_head_has_no_body(shop_service):
    """Over a socket, as load balancers probe."""
    for path in ("/livez", "/readyz", "/v2/health/ready"):
        answer = httpx.head(f"{shop_service.url}{path}")
        assert (answer.status_code, answer.content) == (200, b"") and answer.headers["content-length"] != "0"


def test_mlflow_probes_answer(shop_service):
    """/ping and /health while there is a model; /version names MLflow's."""
    import mlflow

    assert shop_service.get("/ping")[0] == shop_service.get("/health")[0] == 200
    assert shop_service.get("/version")[1] == mlflow.__version__.encode()


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_works_unchanged(shop_service, expected, binary):
    """Health, metadata and inference through Triton's own client, binary tensors and JSON."""
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(shop_service.url.removeprefix("http://"))
    try:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("shop", "1")
        metadata = client.get_model_metadata("shop")
        assert [item["name"] for item in metadata["inputs"]] == list(FEATURES)
        inputs = []
        for item in metadata["inputs"]:
            dtype = np.int64 if item["datatype"] == "INT64" else np.float64
            made = InferInput(item["name"], [2, 1], item["datatype"])
            values = np.array([[row[item["name"]]] for row in ROWS], dtype=dtype)
            made.set_data_from_numpy(values, binary_data=binary)
            inputs.append(made)
        wanted = [InferRequestedOutput("predictions", binary_data=binary)]
        answer = client.infer("shop", inputs, outputs=wanted, request_id="order-7")
        assert answer.as_numpy("predictions")[0] == pytest.approx(expected, abs=1e-6)
        assert answer.get_response()["model_version"] == "1" and answer.get_response()["id"] == "order-7"
    finally:
        client.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_tritonclient_compresses_both_ways(shop_service, expected, coding):
    """Its compressed requests are read, and its answers come compressed when it asks."""
    from tritonclient.http import InferenceServerClient, InferInput

    rows = 500
    client = InferenceServerClient(shop_service.url.removeprefix("http://"))
    try:
        inputs = []
        for name, value in ROW.items():
            datatype = "INT64" if isinstance(value, int) else "FP64"
            made = InferInput(name, [rows], datatype)
            made.set_data_from_numpy(
                np.full(rows, value, dtype=np.int64 if datatype == "INT64" else np.float64)
            )
            inputs.append(made)
        compressed = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
        answer = client.infer("shop", inputs, **compressed)
        assert answer.as_numpy("predictions") == pytest.approx([expected] * rows, abs=1e-6)
    finally:
        client.close()


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "frequency", "shape": [2], "datatype": "INT64", "data": [1]},
        {"name": "frequency", "shape": [-1], "datatype": "INT64", "data": [1]},
        {"name": "frequency", "shape": [1], "datatype": "INT65", "data": [1]},
        {"name": "frequency", "shape": [], "datatype": "INT64", "data": 1},
        {"name": "frequency", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 10**9}},
        {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
        {"name": "frequency", "shape": [1], "datatype": "INT64", "data": [1.7]},
        {"name": "frequency", "shape": [1], "datatype": "INT64", "data": ["12"]},
        {"name": "frequency", "shape": [1], "datatype": "BOOL", "data": ["false"]},
        {"name": "frequency", "shape": [1], "datatype": "UINT8", "data": [-1]},
    ],
)
def test_tensors_that_do_not_fit_are_refused(shop_service, tensor):
    """422 that names the input; the service goes on."""
    status, problem = shop_service.post("/v2/models/shop/infer", {"inputs": [tensor]})
    assert (status, problem["code"]) == (422, "invalid_input") and problem["detail"]
    assert shop_service.post("/v2/models/nobody/infer", {"inputs": [tensor]})[0] == 404


def test_tensors_of_a_kind_that_fits_are_taken(shop_service, expected):
    """Whole numbers for a tensor of floats, as JSON's writers make them, are no reason to refuse."""
    tensors = [
        {"name": "frequency", "shape": [1], "datatype": "UINT8", "data": [3]},
        {"name": "recency", "shape": [1, 1], "datatype": "FP32", "data": [[2.5]]},
        {"name": "amount", "shape": [2], "datatype": "FP64", "data": [7.25, 7]},
    ]
    assert shop_service.post("/v2/models/shop/infer", {"inputs": tensors})[0] == 422
    tensors[2] |= {"shape": [1], "data": [7.25]}
    status, said = shop_service.post("/v2/models/shop/infer", {"inputs": tensors})
    assert status == 200 and said["outputs"][0]["data"] == [pytest.approx(expected, abs=1e-6)], said


DEEP = b"[" * 60_000


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/feedback", b'{"request_id": "a", "outcome": ' + DEEP, {}),
        ("/feedback", b'{"request_id": "a", "outcome": "\xff"}', {}),
        ("/feedback", b'{"request_id": "a", "outcome": 1, "row": 1' + b"0" * 25 + b"}", {}),
        ("/v1/chat/completions", b'{"messages": [{"a": ' + DEEP, {}),
        ("/v1/chat/completions", b'{"messages": [{"a": "\xff"}]}', {}),
        ("/v2/models/shop/infer", b'{"inputs": ' + DEEP, {}),
        ("/v2/models/shop/infer", b"{}", {"Inference-Header-Content-Length": "9" * 5000}),
        ("/v2/models/shop/infer", b"{}", {"Inference-Header-Content-Length": "3"}),
        ("/predict", b'{"inputs": ' + DEEP, {}),
        ("/invocations", b'{"instances": ' + DEEP, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bodies_that_no_generator_makes_are_the_callers_fault(shop_service, path, body, headers):
    """Nested without end, not UTF-8, numbers without end, feedback that is too long: 4xx, and nothing in the log that looks like a defect."""
    status, problem = shop_service.post(path, body, **headers)
    assert status in (400, 413, 422), problem
    assert "Traceback" not in shop_service.log.read_text()


def test_a_caller_that_hangs_up_midway_is_no_failure_of_the_service(shop_service):
    """Half a body to a route of the router, then gone: counted as 499 as nginx does, and no traceback in the log."""
    series = 'mlops_serving_requests_total{route="/v2/models/{name}/infer",status="499"}'
    before = figures(shop_service).get(series, 0)
    host, port = shop_service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = b"POST /v2/models/shop/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert b"100 Continue" in connection.recv(100), "the route waits for the body"
        connection.sendall(b'{"a"')
    shop_service.until(lambda: figures(shop_service).get(series, 0) == before + 1)
    assert "Traceback" not in shop_service.log.read_text()


def test_the_openapi_request_is_the_models(shop_service):
    """The schema names the columns of the source with their types, and no other."""
    document = shop_service.get("/openapi.json")[1]
    row = document["components"]["schemas"]["Row"]
    assert set(row["properties"]) == {*FEATURES, "user_id", "bought"}, "the key and the label are ignored"
    assert set(row["required"]) == set(FEATURES)
    assert row["properties"]["frequency"]["type"] == "integer"
    assert row["properties"]["amount"]["type"] == "number" and row["additionalProperties"] is False
    without = {
        path
        for path, methods in document["paths"].items()
        if "requestBody" not in methods.get("post", {"requestBody": 1})
    }
    assert without == {"/model/reload"}, "a body that the document does not describe is tested by nobody"
    parameters = document["paths"]["/v2/models/{name}/versions/{version}/infer"]["post"]["parameters"]
    assert {each["name"]: each["schema"]["enum"] for each in parameters} == {
        "name": ["shop"],
        "version": ["1"],
    }


def test_metrics_count_requests_and_batches(shop_service):
    """/metrics moves by what was asked; a path that nobody knows makes no series of its own."""
    before = figures(shop_service)
    for _ in range(5):
        assert shop_service.post("/predict", {"inputs": [ROW, ROW]})[0] == 200
    shop_service.get("/no/such/path")
    after = figures(shop_service)
    route = 'mlops_serving_requests_total{route="/predict",status="200"}'
    assert after[route] - before.get(route, 0) == 5
    rows = 'mlops_serving_batch_rows_sum{role="champion",version="1"}'
    assert after[rows] - before.get(rows, 0) == 10
    assert not any("no/such" in name for name in after)
    assert after['mlops_serving_state{what="ready"}'] == 1


def figures(service) -> dict[str, float]:
    """/metrics, by series."""
    text = service.get("/metrics")[1].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_every_example_of_the_document_works(shop_service):
    """Each example is answered with 200, and every route that asks the model has one, but for chats."""
    assert sorted(shop_service.try_examples()) == sorted(
        [
            "/predict",
            "/invoke",
            "/invocations",
            "/v2/models/{name}/infer",
            "/v2/models/{name}/versions/{version}/infer",
        ]
    )


def test_the_document_describes_the_model(shop_service):
    """Name, version, stage and columns are in its description; without keys it asks for none."""
    document = shop_service.get("/openapi.json")[1]
    assert "**shop**, version 1, stage Production" in document["info"]["description"]
    assert all(f"`{name}`" in document["info"]["description"] for name in FEATURES)
    assert "securitySchemes" not in document["components"]


def test_predictions_and_feedback_are_logged(shop_service, tmp_path_factory):
    """A request id finds, in Parquet, what was asked, answered, by which version, and what came of it."""
    folder = next(tmp_path_factory.getbasetemp().glob("service*")) / "log"
    request_id = f"order-{time.time_ns()}"
    answer = shop_service.post("/predict", {**ROW, "user_id": 7}, **{"X-Request-ID": request_id})[1]
    sent = {"request_id": request_id, "outcome": 1, "row": 0}
    assert shop_service.post("/feedback", sent) == (202, {"status": "accepted", "request_id": request_id})
    assert shop_service.post("/feedback", {"outcome": 1})[0] == 422

    def found(kind: str):
        rows = [row for file in folder.glob(f"{kind}-*.parquet") for row in pq.read_table(file).to_pylist()]
        return [row for row in rows if row["request_id"] == request_id]

    shop_service.until(lambda: found("predictions") and found("feedback"))
    (logged,), (outcome,) = found("predictions"), found("feedback")
    assert logged["predictions"] == f"[{answer['predictions']}]" and '"user_id":7' in logged["request"]
    assert (logged["model"], logged["version"], logged["role"]) == ("shop", 1, "champion")
    assert logged["latency_ms"] > 0 and (outcome["outcome"], outcome["row"]) == ("1", 0)
