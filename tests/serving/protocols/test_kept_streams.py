"""Streams and chats are bounded, recorded and counted like any other request, and are the champion's alone."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from mlops_lib import config
from mlops_lib.registry import Registry
from tests.serving.protocols.test_llm import ask, chatty, service
from tests.support.llm_fixtures import Vendor
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow
EVENTS = {"Accept": "text/event-stream"}
ROW = {"inputs": {"question": "a"}}
#: Each way to ask: path, body, headers.
WAYS = {
    "events": ("/invoke", ROW, EVENTS),
    "chat": ("/v1/chat/completions", {"messages": ask("a")}, {}),
    "chat in pieces": ("/v1/chat/completions", {"messages": ask("a"), "stream": True}, {}),
    "plain": ("/invoke", ROW, {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, vendor_process: Vendor) -> Path:
    """A project with room for two requests, a prediction log, and a challenger with all the traffic it may have."""
    file = chatty(
        tmp_path_factory.mktemp("kept"), queue_rows=2, prediction_log="log", canary_share=1.0, poll_s=60.0
    )
    settings = config.load(file)
    registry = Registry(settings)
    version = registry.register("chatty", registry.resolve("chatty", version=1).run_id, {"again": "yes"})
    registry._client.set_registered_model_alias("chatty", "challenger", str(version.version))
    return file.parent


@pytest.fixture(scope="module")
def url(folder: Path, vendor_process: Vendor) -> Iterator[str]:
    with service(folder / "config.yaml", vendor_process, folder / "service.log") as address:
        until(
            lambda: "challenger" in httpx.get(f"{address}/status", timeout=LIMIT_S).json(),
            "the challenger is served",
        )
        yield address


def post(url: str, way: str, request_id: str = "any", **changes: Any) -> httpx.Response:
    """Ask in one of the `WAYS`."""
    path, body, headers = WAYS[way]
    return httpx.post(
        url + path, json={**body, **changes}, headers={**headers, "X-Request-ID": request_id}, timeout=LIMIT_S
    )


def figure(url: str, name: str) -> float:
    """The sum of a figure of /metrics over its labels."""
    lines = [
        line
        for line in httpx.get(f"{url}/metrics", timeout=LIMIT_S).text.splitlines()
        if line.startswith(name)
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_a_full_queue_refuses_streams_and_chats(url: str, vendor: Vendor) -> None:
    """While two are being answered, whichever way, the third gets 503 with Retry-After; then there is room again."""
    vendor.control(chunks=1000, chunk_s=0.1)
    parts = []
    with ExitStack() as open_:
        for way in ("events", "chat in pieces"):
            path, body, headers = WAYS[way]
            stream = httpx.stream("POST", url + path, json=body, headers=headers, timeout=LIMIT_S)
            parts.append(open_.enter_context(stream).iter_text())
            next(parts[-1])  # kept: one that nobody holds closes its connection
        assert figure(url, "mlops_serving_queue_rows") == 2
        for way in WAYS:
            refused = post(url, way)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0, way
            said = refused.json()
            assert (said["error"] if "chat" in way else said)["code"] == "overloaded"
    until(lambda: figure(url, "mlops_serving_queue_rows") == 0, "no rows wait")
    vendor.control(chunks=1)
    assert [post(url, way).status_code for way in WAYS] == [200] * 4
    with ThreadPoolExecutor(8) as pool:
        many = list(pool.map(lambda _: post(url, "events").status_code, range(24)))
    assert {200} <= set(many) <= {200, 503}


def test_what_was_said_is_logged_also_to_those_who_left(url: str, folder: Path, vendor: Vendor) -> None:
    """The whole answer of each way under its request id; of a stream that its caller left, the pieces, unfinished."""
    vendor.control(chunks=1)
    for way in ("events", "chat", "chat in pieces"):
        assert post(url, way, request_id=f"whole-{way}".replace(" ", "-")).status_code == 200
    vendor.control(chunks=1000, chunk_s=0.1)
    for way in ("events", "chat in pieces"):
        path, body, headers = WAYS[way]
        headers = {**headers, "X-Request-ID": f"left-{way}".replace(" ", "-")}
        with httpx.stream("POST", url + path, json=body, headers=headers, timeout=LIMIT_S) as stream:
            parts = stream.iter_text()
            while "Answer" not in next(parts):
                pass

    def logged() -> dict[str, dict[str, Any]]:
        rows = [
            row for file in (folder / "log").glob("p*.parquet") for row in pq.read_table(file).to_pylist()
        ]
        return {row["request_id"]: row for row in rows if row["request_id"][:5] in ("whole", "left-")}

    until(lambda: len(logged()) == 5, "the log has five rows")
    for name, row in logged().items():
        (answer,) = json.loads(row["predictions"])
        # A chat's answer is a chat completion.
        said = answer["choices"][0]["message"]["content"] if isinstance(answer, dict) else answer
        assert (row["role"], row["version"], row["model"]) == ("champion", 1, "chatty"), name
        assert json.loads(row["request"])[0]["question"] == "a" and row["latency_ms"] > 0
        assert row["finished"] is name.startswith("whole")
        assert said.startswith("Answer") and said.endswith("(turn 1)") is row["finished"]


def test_streams_chats_and_conversations_are_the_champions(url: str, vendor: Vendor) -> None:
    """A challenger with all the traffic answers plain rows; no stream, no chat, no turn of a conversation."""
    vendor.control(chunks=1)
    assert post(url, "plain").json()["model"]["version"] == 2
    assert '"version":1' in post(url, "events").text
    row = {"inputs": {"question": "a", "thread_id": "mine"}}
    answers = [httpx.post(f"{url}/invoke", json=row, timeout=LIMIT_S).json() for _ in range(2)]
    assert [answer["model"]["version"] for answer in answers] == [1, 1]
    assert [answer["predictions"][-8:] for answer in answers] == ["(turn 1)", "(turn 2)"], (
        "somebody else spoke"
    )


def test_streams_and_chats_are_counted(url: str, vendor: Vendor) -> None:
    """Requests by route, calls of the model, and the latest latencies move with each."""
    vendor.control(chunks=1)
    names = [
        'mlops_serving_requests_total{route="/invoke",status="200"}',
        'mlops_serving_requests_total{route="/v1/chat/completions",status="200"}',
        'mlops_serving_model_seconds_count{role="champion"',
    ]
    before = [figure(url, name) for name in names]
    recent = httpx.get(f"{url}/status", timeout=LIMIT_S).json()["recent"]["requests"]
    for way in ("events", "chat", "chat in pieces"):
        assert post(url, way).status_code == 200
    assert [figure(url, name) - was for name, was in zip(names, before, strict=True)] == [1, 2, 3]
    assert httpx.get(f"{url}/status", timeout=LIMIT_S).json()["recent"]["requests"] == recent + 3
