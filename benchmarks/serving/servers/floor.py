"""The floor: a bare ASGI app that parses and answers JSON, with no model."""

import msgspec


async def app(scope, receive, send):
    """Answer every request with a constant."""
    if scope["type"] != "http":
        return
    rows = msgspec.json.decode((await receive())["body"])["inputs"]
    body = msgspec.json.encode({"predictions": [0.5] * len(rows)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
