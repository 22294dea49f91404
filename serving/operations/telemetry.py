"""OpenTelemetry: one span a request, sent to OTEL_EXPORTER_OTLP_ENDPOINT when that is set.

The caller's trace is continued from its `traceparent`. The SDK's own variables apply (OTEL_SERVICE_NAME,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, ...). Bodies, keys and predictions are never in a span. Spans
are sent by a thread of the SDK, which drops spans when its queue is full.
"""

import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from mlops_lib.errors import ConfigError
from mlops_lib.registry import ModelVersion

#: Longest wait for a collector to take the last spans, when the process ends.
STOP_S = 3.0
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Starts and ends spans. A provider of its own: MLflow's tracing has another."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise ConfigError(
                f"{ENDPOINTS[0]} is set, but the exporter cannot be imported: {error}. "
                "Install it with: pip install 'mlops-lib[otel]'"
            ) from None
        # Otherwise MLflow would send a model's prompts and answers to this endpoint,
        # in place of its experiment.
        os.environ.setdefault("MLFLOW_ENABLE_OTLP_EXPORTER", "false")
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = os.environ.get("OTEL_SERVICE_NAME", "mlops-serving")
        resource = Resource.create({"service.name": name})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("mlops.serving")
        self._propagator = TraceContextTextMapPropagator()
        self._server, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._span: ContextVar[Any] = ContextVar("span")

    def start(self, method: str, headers: Mapping[bytes, bytes]) -> Any:
        """Start the span of a request. It becomes the current span of this task."""
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span(method, self._propagator.extract(carrier), self._server)
        self._span.set(span)
        return span

    def add_model(self, version: ModelVersion, rows: int) -> None:
        """Add version and number of rows to the current span."""
        if span := self._span.get(None):
            span.set_attributes(
                {"mlops.model.name": version.name, "mlops.model.version": version.version, "mlops.rows": rows}
            )

    def end(self, span: Any, method: str, route: str, status: int, request_id: str) -> None:
        """End a span with the outcome of its request. Status 0:
        the caller left before there was an answer."""
        span.update_name(f"{method} {route}")
        about = {"http.request.method": method, "http.route": route, "mlops.request_id": request_id}
        span.set_attributes(about | ({"http.response.status_code": status} if status else {}))
        if status >= 500:
            span.set_status(self._error)
        span.end()

    def stop(self) -> None:
        """Send the last spans. A collector that does not answer must not hold up the end of the process."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_S)


def configured() -> Tracing | None:
    """Tracing when the environment names an endpoint, else None.

    Raises:
        ConfigError: It does, but the exporter is not installed.
    """
    return Tracing() if any(os.environ.get(name) for name in ENDPOINTS) else None
