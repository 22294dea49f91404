"""A served graph with inner graphs, custom events and several interrupts: events, resuming, giving up, and its owners."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.serving.protocols.test_llm import chatty, service
from tests.support.llm_fixtures import Vendor
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow

GRAPH = """
import asyncio, operator, pathlib
from typing import Annotated, Any, TypedDict
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    question: str
    said: Annotated[list[Any], operator.add]
    notes: list[Any]
    answer: Any

def parallel(**nodes):
    made = StateGraph(State)
    for name, node in nodes.items():
        made.add_node(name, node)
        made.add_edge(START, name)
    return made

def asks(name):
    return lambda state: {"said": [[name, interrupt({"ask": name})]]}

def build(package):
    model = package.chat_model("openai:gpt-test")

    async def write(state):
        get_stream_writer()({"step": "writing"})
        reply = await model.ainvoke([SystemMessage("a system prompt"), HumanMessage(state["question"])])
        return {"notes": [SystemMessage("a system prompt"), reply], "said": [str(reply.text)]}

    async def wait(state):
        pathlib.Path(package.config["marks"], "waits").touch()
        while not pathlib.Path(package.config["marks"], "go").exists():
            await asyncio.sleep(0.01)
        return {"said": [state["question"]]}

    made = parallel()
    made.add_node("writer", parallel(write=write).compile())
    made.add_node("asker", parallel(a=asks("a"), b=asks("b")).compile())
    made.add_node("c", asks("c"))
    made.add_node("wait", wait)
    made.add_node("end", lambda state: {"answer": state["said"]})

    def chooses(state):
        return {"ask": ["asker", "c"], "one": ["c"], "wait": ["wait"]}.get(state["question"].split()[0], ["writer"])

    made.add_conditional_edges(START, chooses)
    for name in ("writer", "asker", "c", "wait"):
        made.add_edge(name, "end")
    return made
"""


class Client(httpx.Client):
    """A caller of the service."""

    def invoke(self, **row: Any) -> httpx.Response:
        return self.post("/invoke", json={"inputs": row})

    def events(self, **row: Any) -> list[tuple[str, Any]]:
        answer = self.post("/invoke", json={"inputs": row}, headers={"Accept": "text/event-stream"})
        lines = [block.split("\n", 1) for block in answer.text.strip().split("\n\n")]
        return [
            (kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in lines
        ]

    def refused(self, **row: Any) -> tuple[int, str, str]:
        """Status, code and text of the error, which is the same plain, as a stream and in a chat."""
        problem = self.invoke(**row).json()
        streamed = self.post("/invoke", json={"inputs": row}, headers={"Accept": "text/event-stream"})
        chat = self.post("/v1/chat/completions", json={"messages": [], **row})
        assert streamed.json()["code"] == problem["code"] == chat.json()["error"]["code"]
        assert streamed.status_code == chat.status_code == problem["status"]
        return problem["status"], problem["code"], problem["detail"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, vendor_process: Vendor) -> Path:
    folder = tmp_path_factory.mktemp("threads")
    params = {"stream": "updates", "config": {"marks": str(folder)}}
    chatty(folder, graph=GRAPH, params=params, prediction_log="log")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, vendor_process: Vendor) -> Iterator[str]:
    with service(folder / "config.yaml", vendor_process, folder / "service.log") as address:
        yield address


@pytest.fixture
def client(url: str, vendor: Vendor) -> Iterator[Client]:
    with Client(base_url=url, timeout=LIMIT_S) as made:
        yield made


def by_question(answer: Any) -> dict[str, str]:
    return {one["value"]["ask"]: one["id"] for one in answer["interrupts"]}


def test_events_of_an_inner_graph(client: Client, vendor: Vendor) -> None:
    """Tokens once with their path, custom events and updates through the model's process; no system message."""
    vendor.control(chunks=1)
    found = client.events(question="hello")
    tokens = [data for kind, data in found if kind == "token"]
    assert "".join(data["text"] for data in tokens) == "Answer to: hello "
    assert {tuple(data["path"]) for data in tokens} == {("writer", "write")}
    assert ("custom", {"path": ["writer"], "data": {"step": "writing"}}) in found
    assert [data["path"] for kind, data in found if kind == "update"] == [
        ["writer", "write"],
        ["writer"],
        ["end"],
    ]
    assert "a system prompt" not in json.dumps(found)
    assert found[-1][0] == "prediction" and found[-1][1]["predictions"] == ["Answer to: hello "]


def test_several_interrupts_over_http(client: Client) -> None:
    """All are in the answer and in the event; answers by id, in parts, of any JSON, plain and streamed."""
    asked = client.invoke(question="ask", thread_id="many").json()["predictions"]
    assert sorted(by_question(asked)) == ["a", "b", "c"] and asked["thread_id"] == "many"
    assert client.events(thread_id="many")[-1][1]["predictions"]["interrupts"] == asked["interrupts"]
    ids = by_question(asked)
    left = client.invoke(thread_id="many", resume={ids["a"]: None}).json()["predictions"]
    assert sorted(by_question(left)) == ["b", "c"]
    kind, last = client.events(thread_id="many", resume={ids["b"]: {"deep": [1, False]}, ids["c"]: []})[-1]
    assert kind == "prediction"
    assert sorted(last["predictions"]) == [["a", None], ["b", {"deep": [1, False]}], ["c", []]]


@pytest.mark.parametrize("value", [None, False, 0, "", "yes", {}, {"ok": [True]}, []], ids=repr)
def test_one_interrupt_in_a_chat(url: str, vendor: Vendor, value: Any) -> None:
    """OpenAI's client sees the interrupt beside the choices, plain and streamed, and resumes with any JSON."""
    import openai

    chat = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0).chat.completions
    thread = {"thread_id": f"chat {value!r}"}
    one = [{"role": "user", "content": "one"}]
    parts = list(chat.create(model="chatty", messages=one, stream=True, extra_body=thread))  # type: ignore[call-overload]
    (streamed,) = [part.model_extra["interrupt"] for part in parts if "interrupt" in part.model_extra]
    again = chat.create(model="chatty", messages=[], extra_body=thread)
    assert again.model_extra is not None and again.model_extra["interrupt"] == streamed
    assert json.loads(again.choices[0].message.content or "") == streamed and list(by_question(streamed)) == [
        "c"
    ]
    done = chat.create(model="chatty", messages=[], extra_body={**thread, "resume": value})
    assert json.loads(done.choices[0].message.content or "") == [["c", value]]


def test_what_is_not_open_cannot_be_answered(client: Client) -> None:
    """404 for a thread that never was, 409 for one without an open interrupt, 422 with the open ids for a wrong one."""
    assert client.refused(thread_id="never", resume="x")[:2] == (404, "unknown_thread")
    assert client.refused(thread_id="never")[:2] == (404, "unknown_thread")
    client.invoke(question="hi", thread_id="ended")
    assert client.refused(thread_id="ended", resume="x")[:2] == (409, "nothing_open")
    assert client.refused(thread_id="ended")[:2] == (409, "nothing_open")
    ids = by_question(client.invoke(question="ask", thread_id="open").json()["predictions"])
    for resume, code in (({"0" * 32: 1}, "unknown_interrupt"), ("x", "several_interrupts")):
        status, found, text = client.refused(thread_id="open", resume=resume)
        assert (status, found) == (422, code) and all(one in text for one in ids.values())
    both = [{"thread_id": "open", "resume": {ids["a"]: 1}}, {"thread_id": "open", "resume": {ids["b"]: 2}}]
    assert client.post("/invocations", json={"dataframe_records": both}).status_code == 200
    assert list(by_question(client.invoke(thread_id="open").json()["predictions"])) == ["c"]


def test_a_thread_is_busy_then_deleted(client: Client, folder: Path) -> None:
    """While a turn runs, a delete is 409 and another turn waits; afterwards the thread is gone, and its id can begin another."""
    turns: list[Any] = []

    def ask(question: str) -> None:
        turns.append(client.invoke(question=question, thread_id="a/b ?").json()["predictions"])

    threads = [threading.Thread(target=ask, args=("wait 1",))]
    threads[0].start()
    until((folder / "waits").exists, "the turn runs")
    busy = client.delete("/threads", params={"thread_id": "a/b ?"})
    assert (busy.status_code, busy.json()["code"]) == (409, "thread_busy") and busy.headers["retry-after"]
    threads.append(threading.Thread(target=ask, args=("wait 2",)))
    threads[1].start()
    (folder / "go").touch()
    for thread in threads:
        thread.join(LIMIT_S)
    assert turns == [["wait 1"], ["wait 1", "wait 2"]]
    client.invoke(question="ask", thread_id="a/b ?")
    assert client.delete("/threads", params={"thread_id": "a/b ?"}).status_code == 204
    gone = client.delete("/threads", params={"thread_id": "a/b ?"})
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_thread")
    assert client.refused(thread_id="a/b ?", resume="x")[:2] == (404, "unknown_thread")
    assert client.invoke(question="wait 3", thread_id="a/b ?").json()["predictions"] == ["wait 3"]
    assert client.delete("/threads").status_code == 422


def test_the_api_describes_it(client: Client) -> None:
    """OpenAPI has the route, and a row's `resume` is any JSON."""
    api = client.get("/openapi.json").json()
    (parameter,) = api["paths"]["/threads"]["delete"]["parameters"]
    assert parameter["name"] == "thread_id" and parameter["required"]
    assert "resume" in json.dumps(api["components"]["schemas"]["ChatRequest"])


def test_open_interrupts_survive_a_restart(folder: Path, vendor: Vendor) -> None:
    """A second service takes the answers to what the first asked, and goes on with a turn whose caller hung up."""
    with (
        service(folder / "config.yaml", vendor, folder / "first.log") as first,
        Client(base_url=first, timeout=LIMIT_S) as client,
    ):
        ids = by_question(client.invoke(question="ask", thread_id="kept").json()["predictions"])
        (folder / "go").unlink(missing_ok=True)
        (folder / "waits").unlink(missing_ok=True)
        with closing(HTTPConnection(urlsplit(first).netloc, timeout=LIMIT_S)) as caller:
            row = {"inputs": {"question": "wait on", "thread_id": "left"}}
            caller.request("POST", "/invoke", json.dumps(row), {"content-type": "application/json"})
            until((folder / "waits").exists, "the turn runs")
    (folder / "go").touch()
    with (
        service(folder / "config.yaml", vendor, folder / "second.log") as second,
        Client(base_url=second, timeout=LIMIT_S) as client,
    ):
        last = client.invoke(thread_id="kept", resume=dict.fromkeys(ids.values(), True)).json()["predictions"]
        assert sorted(last) == [["a", True], ["b", True], ["c", True]]
        assert client.invoke(thread_id="left").json()["predictions"] == ["wait on"]
