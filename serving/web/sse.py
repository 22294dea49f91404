"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from typing import Any

from serving.inference.json_values import encode_json

#: Media type in `Accept` of a caller who wants events.
EVENT_STREAM = b"text/event-stream"
#: Headers of an answer in events.
HEADERS = [(b"content-type", EVENT_STREAM + b"; charset=utf-8"), (b"cache-control", b"no-cache")]


def event(kind: str, data: Any) -> str:
    """One event."""
    return f"event: {kind}\ndata: {encode_json(data).decode()}\n\n"
