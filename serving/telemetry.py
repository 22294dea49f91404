"""OpenTelemetry: one span a request, sent to OTEL_EXPORTER_OTLP_ENDPOINT when that is set.

The caller's trace is continued from its `traceparent`. The SDK's own variables apply (OTEL_SERVICE_NAME,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, ...).
"""

import os
from collections.abc import Mapping
from typing import Any

from mlops_lib.errors import ConfigError

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
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = os.environ.get("OTEL_SERVICE_NAME", "mlops-serving")
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("mlops.serving")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, method: str, headers: Mapping[bytes, bytes]) -> Any:
        """A span for one request."""
        from opentelemetry.trace import SpanKind

        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        return self._tracer.start_span(method, self._propagator.extract(carrier), SpanKind.SERVER)

    def end(self, span: Any, method: str, route: str, status: int, request_id: str) -> None:
        """End it, with what came of the request."""
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "mlops.request_id": request_id,
            }
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def configured() -> Tracing | None:
    """Tracing when the environment names an endpoint, else None.

    Raises:
        ConfigError: It does, but the exporter is not installed.
    """
    return Tracing() if any(os.environ.get(name) for name in ENDPOINTS) else None
