"""An LLM model served over HTTP: one row or many, events, OpenAI's own client, conversations, cancelling."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from tests.llm.test_graph import GRAPH
from tests.support.llm_fixtures import KEY, ROOT, Vendor, files_with
from tests.support.promoting import promote
from tests.support.shop import started
from tests.support.waiting import LIMIT_S, until

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.slow


@contextmanager
def service(file: Path, vendor: Vendor, log: Path) -> Iterator[str]:
    environment = {
        "MLOPS_CONFIG": str(file), "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{vendor.url}/v1"
    }  # fmt: skip
    with started(["uvicorn", "main:app"], ROOT / "serving", log, **environment) as running:
        running.until_ready()
        yield running.url


@pytest.fixture(scope="module")
def served_config(tmp_path_factory: pytest.TempPathFactory, vendor_process: Vendor) -> Path:
    """A graph in the registry at Production; returns its config file."""
    return chatty(tmp_path_factory.mktemp("served"))


def chatty(
    folder: Path, tracing: bool = False, graph: str = GRAPH, params: Any = None, **serving: Any
) -> Path:
    """A folder whose registry has the model `chatty`, version 1, at Production; returns its config file."""
    (folder / "graph").mkdir()
    (folder / "graph/langgraph.py").write_text(graph)
    (folder / "graph/prompts.yaml").write_text("prefix: ''\n")
    packaged = {"model": "openai:gpt-test", "threads": True, "history": True}
    (folder / "graph/config.json").write_text(json.dumps(packaged))
    (folder / "golden.jsonl").write_text('{"question": "hi", "reference": "x"}\n' * 20)
    content = {
        "data": {"source": "golden.jsonl", "label": "reference", "features": ["question"]},
        "model": {
            "name": "chatty",
            "wrapper": "langgraph",
            "implementation": "graph",
            "params": params or {},
        },
        "evaluation": {"task": "text", "metric": "chrf", "threshold": 0},
        "llm": {"timeout_s": 120.0, "tracing": tracing, "max_retries": 1},
        "serving": serving,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    settings = config.load(file)
    model = wrappers.from_settings(settings)
    made = model.train(loaders.from_settings(settings), settings)
    registry = Registry(settings)
    promote(registry, "chatty", registry.register("chatty", made.run_id, {}).version)
    return file


@pytest.fixture(scope="module")
def url(served_config: Path, vendor_process: Vendor) -> Iterator[str]:
    with service(served_config, vendor_process, served_config.with_name("service.log")) as address:
        yield address


@pytest.fixture
def client(url: str, vendor: Vendor) -> "openai.OpenAI":
    import openai

    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def ask(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def events(url: str, row: dict[str, Any]) -> list[tuple[str, Any]]:
    headers = {"Accept": "text/event-stream"}
    with httpx.stream(
        "POST", f"{url}/invoke", json={"inputs": row}, headers=headers, timeout=LIMIT_S
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(response.iter_text()).strip().split("\n\n")
    lines = [block.split("\n", 1) for block in blocks]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in lines]


def test_one_or_many_rows(url: str, vendor: Vendor) -> None:
    """/invoke answers rows in order, and a single object with a single prediction."""
    many = httpx.post(
        f"{url}/invoke", json={"inputs": [{"question": "a"}, {"question": "b"}]}, timeout=LIMIT_S
    ).json()
    assert many["predictions"] == ["Answer to: a (turn 1)", "Answer to: b (turn 1)"]
    assert many["model"]["name"] == "chatty" and many["model"]["stage"] == "Production"
    one = httpx.post(f"{url}/invoke", json={"inputs": {"question": "a"}}, timeout=LIMIT_S).json()
    assert one["predictions"] == "Answer to: a (turn 1)"


def test_events_are_tokens_and_the_answer(url: str, vendor: Vendor) -> None:
    """A stream has the answer's tokens with their node, and ends with the plain answer; it has no updates by default."""
    vendor.control(chunks=1)
    found = events(url, {"question": "a"})
    assert "".join(data["text"] for kind, data in found if kind == "token") == "Answer to: a "
    assert all(data["path"] == ["ask"] for kind, data in found[:-1])
    kind, answer = found[-1]
    assert kind == "prediction" and answer["predictions"] == "Answer to: a  (turn 1)"
    assert answer["model"]["version"] == 1 and answer["request_id"]


def test_a_stream_that_breaks_ends_with_an_error(url: str, vendor: Vendor) -> None:
    """When the vendor drops the connection in mid-stream, the last event is a problem object."""
    vendor.control(faults=[{"kind": "drop_stream", "times": -1}], chunks=3)
    kind, problem = events(url, {"question": "a"})[-1]
    assert kind == "error" and problem["code"] == "model_failed" and problem["status"] == 500


def test_a_stream_takes_one_row(url: str, vendor: Vendor) -> None:
    """Several rows cannot be streamed: 422."""
    body = {"inputs": [{"question": "a"}, {"question": "b"}]}
    answer = httpx.post(f"{url}/invoke", json=body, headers={"Accept": "text/event-stream"}, timeout=LIMIT_S)
    assert answer.status_code == 422 and "one row" in answer.json()["detail"]


def test_the_official_client_gets_an_answer(client: "openai.OpenAI") -> None:
    """chat.completions.create works unchanged, with the upstream's usage."""
    answer = client.chat.completions.create(model="chatty", messages=ask("hi"))  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "Answer to: hi (turn 1)"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        10,
        5,
    )


def test_the_official_client_streams(client: "openai.OpenAI", vendor: Vendor) -> None:
    """`stream=True` gives the tokens as chunks, and the usage when it is asked for."""
    vendor.control(chunks=1)
    chunks = list(
        client.chat.completions.create(
            model="chatty", messages=ask("hi"), stream=True, stream_options={"include_usage": True}
        )  # type: ignore[call-overload]
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Answer to: hi  (turn 1)" and chunks[-1].usage.total_tokens == 15


def test_the_official_client_lists_the_model(client: "openai.OpenAI") -> None:
    """GET /v1/models names the served model."""
    assert [model.id for model in client.models.list()] == ["chatty"]


@pytest.mark.parametrize(
    ("request_", "kind", "says"),
    [
        ({"model": "other", "messages": ask("hi")}, "NotFoundError", "not served here"),
        ({"model": "chatty", "messages": []}, "UnprocessableEntityError", "must be the user's"),
        ({"model": "chatty", "messages": ask("hi"), "n": 2}, "UnprocessableEntityError", "one answer"),
        (
            {
                "model": "chatty",
                "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            },
            "UnprocessableEntityError",
            "must be text",
        ),
    ],
)
def test_bad_requests_are_the_clients_own_errors(
    client: "openai.OpenAI", request_: dict[str, Any], kind: str, says: str
) -> None:
    """A bad request raises the error class that OpenAI's client has for it, with the reason."""
    import openai

    with pytest.raises(getattr(openai, kind), match=says):
        client.chat.completions.create(**request_)


def test_an_upstream_error_is_a_server_error(client: "openai.OpenAI", vendor: Vendor) -> None:
    """A vendor that refuses ends in a 500 with the reason, and with no key in it."""
    import openai

    vendor.control(faults=[{"kind": "401", "times": -1}])
    with pytest.raises(openai.InternalServerError, match="Incorrect API key") as caught:
        client.chat.completions.create(model="chatty", messages=ask("hi"))  # type: ignore[arg-type]
    assert KEY not in str(caught.value)


def test_a_chats_history_reaches_the_model(client: "openai.OpenAI") -> None:
    """Earlier messages of a chat are put before the last one."""
    messages = [*ask("first"), {"role": "assistant", "content": "sure"}, *ask("second")]
    answer = client.chat.completions.create(model="chatty", messages=messages)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "Answer to: second (turn 1)"


def test_a_conversation_survives_a_restart(served_config: Path, vendor: Vendor) -> None:
    """Turns of one thread_id add up across requests, protocols and a restart of the service."""
    log = served_config.with_name("restart.log")
    with service(served_config, vendor, log) as url:
        row = {"inputs": {"question": "hi", "thread_id": "kept"}}
        assert (
            httpx.post(f"{url}/invoke", json=row, timeout=LIMIT_S).json()["predictions"].endswith("(turn 1)")
        )
    import openai

    with service(served_config, vendor, log) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
        answer = client.chat.completions.create(
            model="chatty", messages=ask("again"), extra_body={"thread_id": "kept"}  # type: ignore[arg-type]
        )  # fmt: skip
        assert (answer.choices[0].message.content or "").endswith("(turn 2)")


def test_interrupt_and_resume(url: str, vendor: Vendor) -> None:
    """A graph's question comes back over HTTP, plain or as an event, and the graph goes on with the answer."""
    asked = events(url, {"question": "May I?", "thread_id": "i"})[-1]
    assert asked[0] == "interrupt" and asked[1]["predictions"]["interrupt"] == "Allowed?"
    resumed = httpx.post(
        f"{url}/invoke", json={"inputs": {"thread_id": "i", "resume": "yes"}}, timeout=LIMIT_S
    )
    assert resumed.json()["predictions"] == "May I? yes"


@pytest.mark.parametrize("path", ["/invoke", "/v1/chat/completions"])
def test_leaving_a_stream_stops_the_work_upstream(url: str, vendor: Vendor, path: str) -> None:
    """When the client closes a stream, the vendor's connection is closed, minutes before the stream's end."""
    vendor.control(chunks=1000, chunk_s=0.1)
    body = {"inputs": {"question": "a"}} if path == "/invoke" else {"messages": ask("a"), "stream": True}
    with httpx.stream(
        "POST", url + path, json=body, headers={"Accept": "text/event-stream"}, timeout=LIMIT_S
    ) as response:
        parts = response.iter_text()
        while "Answer" not in next(parts):
            pass
    until(lambda: vendor.stats["cancelled_at"], "the vendor's connection is closed")


@pytest.mark.parametrize("path", ["/invoke", "/v1/chat/completions"])
def test_leaving_a_plain_request_stops_the_work_upstream(url: str, vendor: Vendor, path: str) -> None:
    """When the client hangs up, the vendor's connection is closed, long before the LLM's time-out."""
    vendor.control(delay_s=600.0)
    body = json.dumps({"inputs": {"question": "a"}} if path == "/invoke" else {"messages": ask("a")})
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80)) as connection:
        connection.sendall((head + body).encode())
        until(lambda: vendor.stats["now"] == 1, "the vendor has the call")
    until(lambda: vendor.stats["cancelled_at"], "the vendor's connection is closed")


def test_no_key_in_logs_or_stores(url: str, served_config: Path, vendor: Vendor) -> None:
    """After all of the above, neither the service's log nor the registry nor threads.db hold the key."""
    vendor.control(faults=[{"kind": "401", "times": -1}])
    httpx.post(f"{url}/invoke", json={"inputs": {"question": "a", "thread_id": "k"}}, timeout=LIMIT_S)
    assert "failed" in served_config.with_name("service.log").read_text()
    assert files_with(served_config.parent, KEY) == []
