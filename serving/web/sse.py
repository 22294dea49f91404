"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import json
from typing import Any

#: What a caller accepts who wants events.
EVENT_STREAM = b"text/event-stream"
#: Headers of an answer in events.
HEADERS = [(b"content-type", EVENT_STREAM + b"; charset=utf-8"), (b"cache-control", b"no-cache")]


def event(kind: str, data: Any) -> str:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps(data, default=_as_json, ensure_ascii=False)}\n\n"


def _as_json(value: Any) -> Any:
    """Messages and other objects of a graph's state as JSON; what has no such form, as text."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.tolist() if hasattr(value, "tolist") else str(value)
