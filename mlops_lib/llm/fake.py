"""`fake:` models: deterministic, offline, and on the same path as real models down to the HTTP transport.

``fake:extract`` answers with the sentence of the context that shares most words with the question, and cites
the number of its passage. It calls a tool if the question has the arguments as ``name=value``. If no sentence
fits, it answers that it does not know. Embeddings are counts of character trigrams, so they compare words,
not meaning. Passages are blocks that begin with ``[1]``, ``[2]``, ... on a line of their own.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

UNKNOWN = "I do not know: the context does not say."
DIMENSIONS = 512
#: Minimum share of the question's words, by weight, that the answer must have.
MIN_MATCH = 0.2
WORD = re.compile(r"[A-Za-z0-9_]+")
PASSAGE = re.compile(r"^\[(\d+)\][^\n]*\n(.*?)(?=^\[\d+\]|\Z)", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`(])|\n\s*\n|\n(?=[-*|#])")
ARGUMENT = re.compile(r"(\w+)\s*=\s*(-?\d+(?:\.\d+)?|\"[^\"]*\"|\w+)")
#: Words that do not count.
STOP = frozenset(
    WORD.findall("""
    a an the of to in on is are was be it its and or for with what which how do does can i my you
    your that this by from as at when where who why if not there one has have will should me tell
    """)
)


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
        message = reply(
            body["messages"], [] if body.get("tool_choice") == "none" else body.get("tools") or []
        )
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


def reply(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The assistant's message: a tool call, or a sentence of the context with the number of its passage."""
    texts = [str(m.get("content") or "") for m in messages]
    asked = [text for m, text in zip(messages, texts, strict=True) if m["role"] == "user"]
    question = asked[-1] if asked else ""
    if messages and messages[-1]["role"] == "tool":
        return {"role": "assistant", "content": f"The tool says: {texts[-1]}"}
    for tool in tools:
        if arguments := _arguments(question, tool["function"]):
            function = {"name": tool["function"]["name"], "arguments": json.dumps(arguments)}
            call = {"id": "call_1", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
    before, _, wanted = question.rpartition("Question:")
    given = [text for m, text in zip(messages, texts, strict=True) if m["role"] in ("system", "developer")]
    return {"role": "assistant", "content": extract(wanted, "\n".join([*given, before]))}


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


def extract(question: str, context: str) -> str:
    """The best sentence of the passages in `context`, with the number of its passage."""
    passages = [(int(number), text) for number, text in PASSAGE.findall(context)]
    sentences = [
        (number, place, s.strip())
        for number, text in passages
        for place, s in enumerate(SENTENCE.split(text))
        if s.strip() and not s.strip().startswith(("#", "|--", "```"))
    ]
    if not sentences:
        return UNKNOWN
    documents = [set(_words(text)) for *_, text in sentences]
    frequency = Counter(word for words in documents for word in words)
    words = set(_words(question))
    weight = {w: math.log(1 + len(documents) / (1 + frequency[w])) for w in words}
    total = sum(weight.values()) or 1.0

    def score(item: tuple[tuple[int, int, str], set[str]]) -> tuple[float, int, int]:
        (number, place, _), found = item
        shared = sum(weight[w] for w in words & found)
        return (shared / total / (1 + len(found) / 60), -number, -place)

    best = max(zip(sentences, documents, strict=True), key=score)
    if score(best)[0] < MIN_MATCH:
        return UNKNOWN
    number, _, sentence = best[0]
    return f"{' '.join(sentence.lstrip('-* ').split())} [{number}]"


def embed(text: str) -> list[float]:
    """Counts of character trigrams, hashed to 512 places and scaled to length 1."""
    from zlib import crc32

    vector = [0.0] * DIMENSIONS
    padded = f"  {' '.join(text.lower().split())}  "
    for i in range(len(padded) - 2):
        vector[crc32(padded[i : i + 3].encode()) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(v * v for v in vector)) or 1.0
    return [v / length for v in vector]


def _words(text: str) -> list[str]:
    """Words in lower case, without the commonest ones and without plural and past endings."""
    found = (w.lower() for w in WORD.findall(text))
    return [re.sub(r"(ing|ed|es|s)$", "", w) if len(w) > 4 else w for w in found if w not in STOP]


def _arguments(question: str, function: dict[str, Any]) -> dict[str, Any]:
    """Arguments in the question as ``name=value``; none if a required one is missing."""
    parameters = function.get("parameters") or {}
    properties = parameters.get("properties") or {}
    given = {name: value for name, value in ARGUMENT.findall(question) if name in properties}
    if not given or any(name not in given for name in parameters.get("required") or []):
        return {}
    read: dict[Any, Callable[[str], Any]] = {"integer": lambda v: int(float(v)), "number": float}
    return {
        name: read.get(properties[name].get("type"), lambda v: v.strip('"'))(value)
        for name, value in given.items()
    }


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
