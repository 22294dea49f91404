"""A real HTTP server of the OpenAI and Anthropic protocols, with faults on demand.

Run as ``python -m tests.support.vendor_server``: prints its port. ``POST /_control`` sets behaviour, ``GET /_stats``
says what happened; ``bodies`` are the requests. ``finish`` is the finish reason of each answer, and ``calls`` are tool
calls that the answer has instead of a text where the request has tools. ``verdicts`` are the replies, in turn, to
requests with a JSON schema as response format; without them ``verdict`` is each integer in the simplest one. A fault hits a share of the questions, chosen by their hash, on their first `times` tries
(-1: on all). Kinds: ``429`` (with Retry-After), ``500``, ``400``, ``401`` (repeats the key), ``quota``, ``slow``,
``truncated``, ``drop``, ``drop_stream``, ``malformed_tool``.
"""

import json
import select
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

state: dict[str, Any] = {
    "delay_s": 0.0,
    "chunks": 4,
    "chunk_s": 0.0,
    "faults": [],
    "finish": "",
    "calls": [],
    "verdicts": [],
}
stats: dict[str, Any] = {}
tries: Counter[str] = Counter()
lock = threading.Lock()


def reset() -> None:
    stats.update(
        calls=0, verdicts=-1, now=0, most=0, cancelled_at=0.0, chunks_sent=0, starts=[], keys=[], bodies=[]
    )
    tries.clear()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, stats if self.path == "/_stats" else {"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        if self.path == "/_control":
            state.update(body)
            reset()
            return self.reply(200, {})
        with lock:
            stats["calls"] += 1
            stats["now"] += 1
            stats["most"] = max(stats["most"], stats["now"])
            stats["starts"].append(time.monotonic())
            stats["bodies"].append(body)
            stats["keys"].append(self.headers.get("authorization") or self.headers.get("x-api-key"))
        try:
            self.answer(body)
        except OSError:
            stats["cancelled_at"] = stats["cancelled_at"] or time.time()
            self.close_connection = True
        finally:
            with lock:
                stats["now"] -= 1

    def answer(self, body: dict[str, Any]) -> None:
        if self.path.endswith("/embeddings") and any(fault["kind"] == "401" for fault in state["faults"]):
            return self.reply(401, error(f"Incorrect API key provided: {self.headers.get('authorization')}"))
        if self.path.endswith("/embeddings"):
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [
                {"object": "embedding", "index": i, "embedding": [1.0, len(t) / 100]}
                for i, t in enumerate(texts)
            ]
            return self.reply(
                200,
                {
                    "object": "list",
                    "data": data,
                    "model": "e",
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                },
            )
        question = text_of(body["messages"][-1])
        kind = self.fault(question)
        self.think(600.0 if kind == "slow" else state["delay_s"])
        if kind == "429":
            return self.reply(429, error("Slow down."), {"retry-after-ms": "20"})
        if kind == "retry_after":
            return self.reply(429, error("Slow down."), {"retry-after": "1"})
        if kind == "quota":
            return self.reply(429, error("You exceeded your current quota.", "insufficient_quota"))
        if kind == "401":
            return self.reply(
                401,
                error(
                    f"Incorrect API key provided: {self.headers.get('authorization') or self.headers.get('x-api-key')}"
                ),
            )
        if kind in ("400", "500"):
            return self.reply(int(kind), error("As ordered."))
        if kind == "drop":
            self.close_connection = True
            return None
        if self.path.endswith("/messages"):
            return self.anthropic(question, body)
        message: dict[str, Any] = {"role": "assistant", "content": f"Answer to: {question}"}
        if kind == "malformed_tool":
            call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": '}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        elif state["calls"]:
            message = {"role": "assistant", "content": None, "tool_calls": state["calls"]}
        elif state["verdicts"] and body.get("response_format"):
            message["content"] = self.verdict()
        elif schema := wanted_schema(body):
            message = structured(body, schema)
        finish = state["finish"] or ("tool_calls" if message.get("tool_calls") else "stop")
        if body.get("stream"):
            return self.stream(message["content"] or "", kind, message.get("tool_calls") or [], finish)
        content = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }  # fmt: skip
        self.reply(200, content, truncated=kind == "truncated")

    def verdict(self) -> str:
        with lock:
            stats["verdicts"] += 1
        return str(state["verdicts"][stats["verdicts"] % len(state["verdicts"])])

    def think(self, seconds: float) -> None:
        """Wait, unless the caller hangs up."""
        if seconds and select.select([self.connection], [], [], seconds)[0]:
            raise ConnectionResetError("the caller is gone")

    def fault(self, question: str) -> str:
        with lock:
            tries[question] += 1
            attempt = tries[question]
        place = zlib.crc32(question.encode()) % 1000 / 1000
        for fault in state["faults"]:
            if place < fault.get("share", 1.0) and (fault["times"] < 0 or attempt <= fault["times"]):
                return fault["kind"]
        return ""

    def stream(self, text: str, kind: str, calls: list[dict[str, Any]], finish: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        words = [f"{word} " for word in text.split()] * state["chunks"]
        for i, word in enumerate(words):
            delta = {"role": "assistant", "content": word} if i == 0 else {"content": word}
            self.chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            stats["chunks_sent"] += 1
            self.think(state["chunk_s"])
            if kind == "drop_stream" and i == 2:
                self.close_connection = True
                return
        for i, call in enumerate(calls):  # in two parts, as OpenAI does
            function, arguments = call["function"], call["function"]["arguments"]
            first = {**call, "index": i, "function": {**function, "arguments": arguments[:3]}}
            for part in (first, {"index": i, "function": {"arguments": arguments[3:]}}):
                self.chunk(
                    {"choices": [{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}]}
                )
        self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        self.chunk(
            {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
        )
        self.raw(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, content: dict[str, Any]) -> None:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        self.raw(f"data: {json.dumps(head | content)}\n\n".encode())

    def raw(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def anthropic(self, question: str, body: dict[str, Any]) -> None:
        text = f"Claude answers: {question}"
        if schema := (body.get("output_format") or body.get("output_config", {}).get("format", {})).get(
            "schema"
        ):
            text = json.dumps(filled(schema, {}))
        made: list[dict[str, Any]] = [{"type": "text", "text": text}]
        for call in state["calls"] if body.get("tools") else ():
            function = call["function"]
            arguments = json.loads(function["arguments"])
            made.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
        content = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
            "content": made, "stop_reason": state["finish"] or "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 3},
        }  # fmt: skip
        self.reply(200, content)

    def reply(
        self, status: int, content: Any, headers: dict[str, str] | None = None, truncated: bool = False
    ) -> None:
        data = json.dumps(content).encode()
        data = data[: len(data) // 2] if truncated else data
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def error(message: str, code: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "code": code}}


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def wanted_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that a judge must answer in: of its tool, its response format, or its prompt."""
    if body.get("tool_choice") and body.get("tools"):
        return body["tools"][0]["function"]["parameters"]
    if (body.get("response_format") or {}).get("type") == "json_schema":
        return body["response_format"]["json_schema"]["schema"]
    for message in body["messages"]:
        text = text_of(message)
        if '"properties"' in text and "schema" in text.lower():
            start = text.index("{", max(0, text.lower().index("schema")))
            return json.JSONDecoder().raw_decode(text[start:])[0]
    return None


def structured(body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(filled(schema, schema.get("$defs", {})))
    if body.get("tools"):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": arguments}
        call = {"id": "c1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"role": "assistant", "content": arguments}


def filled(schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """The simplest value that fits: numbers are 1 (a judge says yes), arrays have one item."""
    if "$ref" in schema:
        return filled(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    if allowed := schema.get("enum"):
        return state["verdict"] if state.get("verdict") in allowed else allowed[0]
    kind = schema.get("type", "string")
    if kind == "object":
        properties = schema.get("properties", {}).items()
        # An evasive answer is a fault, so here a judge's yes is a 0.
        return {name: 0 if name == "noncommittal" else filled(inner, defs) for name, inner in properties}
    if kind == "array":
        return [filled(schema["items"], defs)]
    return {"integer": state.get("verdict", 1), "number": 1.0, "boolean": True}.get(kind, "The sky is blue.")


if __name__ == "__main__":
    reset()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
