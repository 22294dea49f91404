"""Send one request again and again on some connections, and print figures as JSON.

python benchmarks/llm/ask.py '{"port": 8000, "path": "/predict", "body": "{}", "concurrency": 32,
"seconds": 3,
    "headers": {}, "first": "text of the first token", "last": "text that each answer has"}'
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import httptools
import uvloop


class Caller(asyncio.Protocol):
    """One connection, which sends its next request when an answer is whole."""

    def __init__(self, wanted: dict[str, Any], figures: "Figures") -> None:
        body = wanted["body"].encode()
        headers = {"content-type": "application/json", **wanted["headers"]}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {wanted['path']} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(body)}\r\n\r\n"
        self.request = head.encode() + body
        self.first, self.last = wanted["first"].encode(), wanted["last"].encode()
        self.figures = figures

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if self.figures.over:
            return self.transport.close()
        self.parser, self.body, self.first_s = httptools.HttpResponseParser(self), b"", 0.0
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body
        if not self.first_s and self.first in self.body:
            self.first_s = time.perf_counter() - self.began

    def on_message_complete(self) -> None:
        took_s = time.perf_counter() - self.began
        good = self.parser.get_status_code() == 200 and self.first_s and self.last in self.body
        if not self.figures.over:
            self.figures.add(took_s, self.first_s, bool(good), self.body)
        asyncio.get_running_loop().call_soon(self.send)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.figures.over:
            self.figures.failures += 1


class Figures:
    """Times of the answers."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.first_s: list[float] = []
        self.failures, self.over, self.bad = 0, False, ""

    def add(self, took_s: float, first_s: float, good: bool, body: bytes) -> None:
        if good:
            self.took_s.append(took_s)
            self.first_s.append(first_s)
        else:
            self.failures += 1
            self.bad = self.bad or body.decode(errors="replace")[:500]


async def main() -> None:
    """Ask for some seconds."""
    wanted = json.loads(sys.argv[1])
    figures, loop = Figures(), asyncio.get_running_loop()
    for _ in range(wanted["concurrency"]):
        await loop.create_connection(lambda: Caller(wanted, figures), "127.0.0.1", wanted["port"])
    await asyncio.sleep(wanted["seconds"])
    figures.over = True
    took_s = sorted(figures.took_s)
    if figures.bad:
        sys.exit(f"a bad answer: {figures.bad}")
    if not took_s:
        took_s = figures.first_s = [float("nan")]
    print(
        json.dumps(
            {
                "requests": len(figures.took_s),
                "rate": len(figures.took_s) / wanted["seconds"],
                "p99_ms": took_s[int(len(took_s) * 0.99)] * 1e3,
                "first_ms": statistics.median(figures.first_s) * 1e3,
                "failures": figures.failures,
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main())
