"""The Tecton provider against a local server that speaks the documented HTTP API."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops_lib import config, features
from mlops_lib.errors import ConfigError, FeatureStoreError
from mlops_lib.features.tecton import TectonProvider
from tests.support.waiting import LIMIT_S

KEY = "t3cton-k3y"
USERS = {"1": ["5", 21.5, True], "2": [str(2**60 + 1), 22.5, False]}
NAMES = [("visits.count", "int64"), ("profile.age", "float64"), ("profile.member", "boolean")]


class Api(BaseHTTPRequestHandler):
    """get-features-batch and metadata, as https://docs.tecton.ai/http-api has them; strict about what comes in."""

    batches: list[int] = []  # noqa: RUF012
    #: Where set, requests are answered once as many as it says have come.
    together = None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        params = body["params"]
        if self.headers["Authorization"] != f"Tecton-key {KEY}":
            return self._answer(401, {"error": "Invalid authorization header", "code": 16})
        if params["workspaceName"] != "prod" or params["featureServiceName"] != "customers":
            return self._answer(404, {"error": "FeatureService not found", "code": 5})
        described = [{"name": name, "dataType": {"type": kind}} for name, kind in NAMES]
        if self.path == "/api/v1/feature-service/metadata":
            keys = [{"name": "user_id", "dataType": {"type": "int64"}}]
            answer = {"featureServiceType": "DEFAULT", "inputJoinKeys": keys, "featureValues": described}
            return self._answer(200, answer)
        assert self.path == "/api/v1/feature-service/get-features-batch"
        assert set(params) == {"featureServiceName", "workspaceName", "requestData", "metadataOptions"}
        asked = [item["joinKeyMap"]["user_id"] for item in params["requestData"]]
        assert len(asked) <= 10 and all(isinstance(user, str) for user in asked)
        self.batches.append(len(asked))
        if self.together:
            self.together.wait()
        rows = [{"features": USERS.get(user, [None, None, None])} for user in asked]
        statuses = ["PRESENT" if user in USERS else "MISSING_DATA" for user in asked]
        metadata = [{**item, "statuses": statuses} for item in described]
        return self._answer(200, {"result": rows, "metadata": {"features": metadata}})

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_service_and_values_come_over_the_documented_api(url):
    """Keys travel as text, big integers come back whole, and what is not there is named."""
    provider = TectonProvider(url, "prod", KEY)
    service = provider.describe("customers")
    assert service.entity_keys == ("user_id",) and service.key_dtypes == {"user_id": "int64"}
    assert service.dtypes == {"count": "int64", "age": "float64", "member": "bool"}
    rows = provider.online(service, [{"user_id": 2}, {"user_id": 9}, {"user_id": 1}])
    assert [dict(row.values) for row in rows] == [
        {"count": 2**60 + 1, "age": 22.5, "member": False},
        {"count": None, "age": None, "member": None},
        {"count": 5, "age": 21.5, "member": True},
    ]
    assert rows[1].trouble == dict.fromkeys(service.dtypes, "unknown_entity") and not rows[0].trouble


def test_many_keys_go_in_batches_that_the_api_takes(url):
    """Twenty-five keys are three requests, which are under way at once; the rows stay in order."""
    provider = TectonProvider(url, "prod", KEY)
    service = provider.describe("customers")
    Api.batches.clear()
    Api.together = threading.Barrier(3, timeout=LIMIT_S)
    try:
        rows = provider.online(service, [{"user_id": 1 + i % 2} for i in range(25)])
    finally:
        Api.together = None
    assert sorted(Api.batches) == [5, 10, 10]
    assert [row.values["age"] for row in rows] == [21.5 + i % 2 for i in range(25)]


def test_errors_say_what_tecton_said_and_never_the_key(url):
    """A wrong key, an unknown service, nobody there."""
    with pytest.raises(FeatureStoreError, match="answered 401") as caught:
        TectonProvider(url, "prod", "wr0ng").describe("customers")
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(FeatureStoreError, match=r"404.*FeatureService not found"):
        TectonProvider(url, "prod", KEY).describe("custommers")
    with pytest.raises(FeatureStoreError, match="cannot be reached"):
        TectonProvider("http://127.0.0.1:9", "prod", KEY).describe("customers")


def test_the_provider_is_chosen_by_name_and_asks_for_what_it_needs(tmp_path, monkeypatch, url):
    """data.feature_store.provider: tecton; the key from the environment alone."""
    store = f"{{provider: tecton, url: '{url}', workspace: prod, service: customers}}"
    text = f"data: {{source: x, label: y, feature_store: {store}}}\nevaluation: {{threshold: 0}}"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="TECTON_API_KEY"):
        features.from_settings(config.load(tmp_path / "config.yaml"))
    monkeypatch.setenv("TECTON_API_KEY", KEY)
    settings = config.load(tmp_path / "config.yaml")
    assert features.from_settings(settings).describe("customers").name == "customers"
    assert KEY not in str(config.flat(settings))


def test_training_rows_without_the_sdk_say_what_to_install(monkeypatch, url):
    """The SDK is imported on use, and not before."""
    import pandas as pd

    monkeypatch.setitem(sys.modules, "tecton", None)
    provider = TectonProvider(url, "prod", KEY)
    rows = pd.DataFrame({"user_id": [1], "event_timestamp": [pd.Timestamp("2026-01-01")]})
    with pytest.raises(FeatureStoreError, match="numpy below 2"):
        provider.historical(provider.describe("customers"), rows, "event_timestamp")
