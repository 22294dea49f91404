"""A fast server of OpenAI's chat completions: one answer after DELAY_MS,
or a stream of CHUNKS pieces from then on.

    python benchmarks/llm/upstream.py PORT

Each piece of a stream leaves in a packet of its own, CHUNK_MS after the one before, as a vendor sends it.
"""

import asyncio
import json
import os
import sys

import httptools
import uvloop

DELAY_S = float(os.environ.get("DELAY_MS", "50")) / 1e3
CHUNK_S = float(os.environ.get("CHUNK_MS", "0.5")) / 1e3
CHUNKS = int(os.environ.get("CHUNKS", "20"))
WORDS = [f"word{number} " for number in range(CHUNKS)]
HEAD = {"id": "chatcmpl-abcdefghijklmnopqrstuvwxyz", "created": 1764000000, "model": "gpt-bench"}
USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}


def piece(**fields: object) -> bytes:
    """One event of a stream, as a chunk of HTTP."""
    content = {**HEAD, "object": "chat.completion.chunk", "system_fingerprint": "fp_1", **fields}
    return chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(delta: dict[str, str], finish: str | None = None) -> bytes:
    """A part of the answer."""
    return piece(choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])


MESSAGE = {"role": "assistant", "content": "".join(WORDS)}
ANSWER = json.dumps(
    {
        **HEAD, "object": "chat.completion", "usage": USAGE,
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    }
).encode()  # fmt: skip
PLAIN = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [delta({"content": word}) for word in WORDS]
STREAM = [
    STREAM_HEAD + delta({"role": "assistant", "content": ""}) + PIECES[0],
    *PIECES[1:],
    delta({}, "stop") + piece(choices=[], usage=USAGE) + chunk(b"data: [DONE]\n\n") + chunk(b""),
]


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.loop, self.body = transport, asyncio.get_running_loop(), b""
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        streams = json.loads(self.body or b"{}").get("stream")
        self.body = b""
        self.loop.call_later(DELAY_S, self.send, STREAM if streams else [PLAIN], 0)

    def send(self, parts: list[bytes], number: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(parts[number])
        if number + 1 < len(parts):
            self.loop.call_later(CHUNK_S, self.send, parts, number + 1)


async def main() -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
