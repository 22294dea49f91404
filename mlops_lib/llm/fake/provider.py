"""`fake:` models: deterministic, offline, and on the same path as real models down to the HTTP transport.

``fake:extract`` answers from the context, see `mlops_lib.llm.fake.extract`; ``fake:user`` plays a user, see
`mlops_lib.llm.fake.user`. Embeddings are counts of character trigrams, so they compare words, not meaning.
"""

import json
import math
import re
from typing import Any

import httpx2

from mlops_lib.llm.fake import extract, user

DIMENSIONS = 512
#: Name of the model that plays a user.
USER = "user"


class FakeServer(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers OpenAI's /chat/completions (plain and streamed) and /embeddings, without a server."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(json.loads(await request.aread()), request)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer(json.loads(request.read()), request)

    def _answer(self, body: dict[str, Any], request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/embeddings"):
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"object": "embedding", "index": i, "embedding": embed(t)} for i, t in enumerate(texts)]
            usage = {"prompt_tokens": sum(map(_tokens, texts)), "total_tokens": sum(map(_tokens, texts))}
            content = {"object": "list", "model": body["model"], "data": data, "usage": usage}
            return httpx2.Response(200, json=content, request=request)
        message = _reply(body)
        message, finish = shortened(message, body)
        text = message.get("content") or json.dumps(message.get("tool_calls"))
        prompt = sum(_tokens(str(m.get("content") or "")) for m in body["messages"])
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": _tokens(text),
            "total_tokens": prompt + _tokens(text),
        }
        head = {"id": "chatcmpl-fake", "created": 0, "model": body["model"]}
        if body.get("stream"):
            return httpx2.Response(
                200,
                headers={"content-type": "text/event-stream"},
                content=_events(head, message, finish, usage),
                request=request,
            )
        choice = {"index": 0, "message": message, "finish_reason": finish}
        content = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return httpx2.Response(200, json=content, request=request)


def _reply(body: dict[str, Any]) -> dict[str, Any]:
    """The assistant's message."""
    if body["model"] == USER:
        return user.reply(body["messages"])
    tools = [] if body.get("tool_choice") == "none" else body.get("tools") or []
    return extract.reply(body["messages"], tools)


def shortened(message: dict[str, Any], body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The message within the request's ``stop`` and ``max_completion_tokens`` (words), and why it ends."""
    if message.get("tool_calls"):
        return message, "tool_calls"
    stops = body.get("stop") or []
    text = message["content"]
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop)[0]
    words, most = re.findall(r"\s*\S+", text), body.get("max_completion_tokens") or body.get("max_tokens")
    if most and len(words) > most:
        return {**message, "content": "".join(words[:most])}, "length"
    return {**message, "content": text}, "stop"


def embed(text: str) -> list[float]:
    """Counts of character trigrams, hashed to 512 places and scaled to length 1."""
    from zlib import crc32

    vector = [0.0] * DIMENSIONS
    padded = f"  {' '.join(text.lower().split())}  "
    for i in range(len(padded) - 2):
        vector[crc32(padded[i : i + 3].encode()) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(v * v for v in vector)) or 1.0
    return [v / length for v in vector]


def _tokens(text: str) -> int:
    return len(text.split())


def _events(head: dict[str, Any], message: dict[str, Any], finish: str, usage: dict[str, int]) -> bytes:
    head = {**head, "object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if calls := message.get("tool_calls"):
        deltas.append({"tool_calls": [{"index": i, **call} for i, call in enumerate(calls)]})
    else:
        deltas += [{"content": part} for part in re.findall(r"\S+\s*", message["content"])]
    chunks = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({**head, "choices": [], "usage": usage})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()
