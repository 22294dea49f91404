"""Masking of secrets in MLflow's traces: inputs, outputs, attributes,
errors and stack traces of every span."""

from typing import Any

from mlops_lib.redact.keys import MASKED, Masker


def mask_traces() -> None:
    """Mask secrets in every span that this process exports from now on.
    MLflow calls the processor as a span ends."""
    import mlflow.tracing
    from mlflow.tracing.config import get_config

    if mask_span not in (processors := get_config().span_processors):
        # Last, because another processor may add text.
        mlflow.tracing.configure(span_processors=[*processors, mask_span])


def mask_span(span: Any) -> None:
    """Mask a live span of MLflow's. A span that cannot be masked loses its content:
    MLflow would export it as it is."""
    inner = span._span  # events and attributes have no public setters
    try:
        masker = Masker()
        attributes = {name: _masked(masker, value) for name, value in inner.attributes.items()}
        events = [_masked_event(masker, event) for event in inner.events]
        status = masker(inner.status.description or "")
    except Exception:
        attributes, events, status = dict.fromkeys(inner.attributes, MASKED), [], MASKED
    for name, value in attributes.items():
        if inner.attributes[name] != value:
            inner.set_attribute(name, value)
    inner._events = events
    if (inner.status.description or "") != status:
        from opentelemetry.trace import Status

        inner._status = Status(inner.status.status_code, status)
    if attributes and inner.name:  # LangChain names no span of a model without a name
        inner._name = masker(inner.name)


def _masked_event(masker: Masker, event: Any) -> Any:
    from opentelemetry.sdk.trace import Event

    attributes = {name: _masked(masker, value) for name, value in (event.attributes or {}).items()}
    return Event(masker(event.name), attributes, event.timestamp)


def _masked(masker: Masker, value: Any) -> Any:
    if isinstance(value, str):
        return masker(value)
    if isinstance(value, tuple | list):
        return [_masked(masker, inner) for inner in value]
    return value
