"""Traces, as an OpenTelemetry collector gets them."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.web.api_keys import make
from tests.support.servers import black_hole, free_port
from tests.support.shop import ROOT, ROW, copy, running
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Speaks OTLP over HTTP: takes `ExportTraceServiceRequest` in protobuf at /v1/traces."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.tokens: set[str | None] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def spans(self):
        """(service, span, its attributes) of everything that came."""
        found = []
        for body in list(self.bodies):
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = values(of_resource.resource.attributes)["service.name"]
                spans = [span for of_scope in of_resource.scope_spans for span in of_scope.spans]
                found += [(service, span, values(span.attributes)) for span in spans]
        return found


class Handler(BaseHTTPRequestHandler):
    """Keeps what comes."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf"):
            self.server.bodies.append(body)
            self.server.tokens.add(self.headers["x-token"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def values(attributes) -> dict[str, str | int]:
    """Attributes by name."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def test_requests_are_spans_of_their_callers_traces(shop, tmp_path):
    """Name, parent, version, rows and status of each request; no key, row or token; probes and unsampled make none."""
    collector = Collector()
    keys, (key, line) = tmp_path / "keys.yaml", make("shop", False)
    keys.write_text(line)
    settings = copy(shop, tmp_path / "project", api_keys=str(keys))
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-token=collectors-own-secret",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with running(settings, **environment) as service:

        def post(request_id, body, path="/predict", flags="01", key=key):
            headers = {
                "traceparent": f"00-{TRACE}-{CALLER}-{flags}",
                "Authorization": f"Bearer {key}",
                "X-Request-ID": request_id,
            }
            return service.post(path, body, **headers)[0]

        assert post("two", {"inputs": [ROW, {**ROW, "user_id": 918273645}]}) == 200
        assert post("misfit", {"inputs": {**ROW, "amount": "word-of-the-row"}}) == 422
        assert post("unsampled", ROW, flags="00") == 200
        assert post("guessed", ROW, key="guessed-key") == 401
        tensors = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in ROW.items()]
        assert post("tensors", {"inputs": tensors}, "/v2/models/shop/infer") in (200, 422)
        headers = {"traceparent": "no-such-thing", "X-API-Key": key, "X-Request-ID": "alone"}
        assert service.post("/predict", ROW, **headers)[0] == 200
        assert service.get("/livez")[0] == 200
        service.process.terminate()
        service.process.wait(LIMIT_S)  # what is left is sent then
        log = service.log.read_text()
    collector.shutdown()
    seen = {attributes["mlops.request_id"]: (span, attributes) for _, span, attributes in collector.spans()}
    assert set(seen) == {"two", "misfit", "guessed", "tensors", "alone"} and len(collector.spans()) == 5
    assert {service for service, _, _ in collector.spans()} == {"mlops-serving"}
    span, attributes = seen["two"]
    assert (span.name, span.kind) == ("POST /predict", span.SPAN_KIND_SERVER)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    assert attributes == {
        "http.request.method": "POST", "http.route": "/predict", "http.response.status_code": 200,
        "mlops.request_id": "two", "mlops.model.name": "shop", "mlops.model.version": 1, "mlops.rows": 2,
    }  # fmt: skip
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 30e9
    assert [seen[name][1]["http.response.status_code"] for name in ("misfit", "guessed")] == [422, 401]
    assert seen["tensors"][0].name == "POST /v2/models/{name}/infer"
    alone = seen["alone"][0]
    assert alone.trace_id.hex() != TRACE and not alone.parent_span_id
    sent = b"".join(collector.bodies)
    secrets = (key, "guessed-key", "word-of-the-row", "918273645", "collectors-own-secret")
    assert not [secret for secret in secrets if secret.encode() in sent or secret in log]
    assert collector.tokens == {"collectors-own-secret"}


def test_a_collector_that_is_away_costs_nothing(shop, tmp_path):
    """Requests are answered while the exporter waits for a collector that never answers, or that refuses; the process
    ends before the exporter would give up."""
    settings = copy(shop, tmp_path / "project", poll_s=60.0)
    environment = {"OTEL_EXPORTER_OTLP_TIMEOUT": "300", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    port = free_port()
    with running(settings, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", **environment) as service:

        def answers() -> list[int]:
            return [service.post("/predict", ROW)[0] for _ in range(20)]

        with black_hole(port) as held:
            assert answers() == [200] * 20
            until(lambda: held, "the exporter waits for the collector")
            assert answers() == [200] * 20
        for connection in held:
            connection.close()
        assert answers() == [200] * 20, "the collector refuses"
        service.process.terminate()
        assert service.process.wait(60) is not None, "it waits for the exporter"
        assert "Traceback" not in service.log.read_text()


def test_without_an_endpoint_there_is_no_exporter(shop, tmp_path):
    """The application, made without an endpoint, imports none of it; MLflow's own use of the API is MLflow's."""
    code = (
        "import sys, serving.operations.telemetry as t; assert t.configured() is None\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')], 'telemetry imports it'\n"
        "from serving.app import create_app; create_app()\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry.exporter')])"
    )
    settings = copy(shop, tmp_path / "project")
    environment = {"MLOPS_CONFIG": str(settings.root / "config.yaml"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
