"""Clients of vendors that a graph makes itself: counted, limited, recorded and replayed, whoever made them and where."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import httpx2
import pytest
from aiohttp import ClientSession
from urllib3.connectionpool import HTTPConnectionPool

from mlops_lib.errors import ModelError
from mlops_lib.llm.accounting.cassette import Cassette
from mlops_lib.llm.accounting.ledger import Ledger, tally
from mlops_lib.llm.accounting.turns import one_row
from mlops_lib.llm.accounting.usage import of_answer
from mlops_lib.llm.chat import KEY_VARIABLES, NO_KEY
from mlops_lib.llm.transport import loop, own_clients, uncounted
from mlops_lib.wrappers.langgraph import LangGraphWrapper
from tests.support.graph_fixtures import HEAD, Opened
from tests.support.llm_fixtures import KEY, Vendor

ASK = "[{'role': 'user', 'content': state['messages'][-1].text}]"
#: Client -> the code of a node that asks it.
CLIENTS = {
    "ChatOpenAI, made at import": f"""
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="gpt-test")
async def node(state): return {{"messages": [await model.ainvoke({ASK})]}}
""",
    "ChatOpenAI, called synchronously": f"""
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="gpt-test")
def node(state): return {{"messages": [model.invoke({ASK})]}}
""",
    "init_chat_model, made in the node": f"""
from langchain.chat_models import init_chat_model
def node(state): return {{"messages": [init_chat_model("openai:gpt-test").invoke({ASK})]}}
""",
    "ChatAnthropic": f"""
from langchain_anthropic import ChatAnthropic
model = ChatAnthropic(model="claude-test")
async def node(state): return {{"messages": [await model.ainvoke({ASK})]}}
""",
    "the OpenAI SDK": f"""
import openai
client = openai.OpenAI()
def node(state):
    answer = client.chat.completions.create(model="gpt-test", messages={ASK})
    return {{"messages": [AIMessage(answer.choices[0].message.content)]}}
""",
    "the OpenAI SDK, streamed": f"""
import openai
client = openai.AsyncOpenAI()
async def node(state):
    stream = await client.chat.completions.create(model="gpt-test", messages={ASK}, stream=True)
    parts = [each.choices[0].delta.content or "" async for each in stream if each.choices]
    return {{"messages": [AIMessage("".join(parts))]}}
""",
    "the Anthropic SDK": f"""
import anthropic
client = anthropic.Anthropic()
def node(state):
    answer = client.messages.create(model="claude-test", max_tokens=100, messages={ASK})
    return {{"messages": [AIMessage(answer.content[0].text)]}}
""",
    "ChatOpenAI on httpx": f"""
import httpx
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="gpt-test", http_client=httpx.Client(), http_async_client=httpx.AsyncClient())
async def node(state):
    return {{"messages": [await model.ainvoke({ASK})]}}
""",
    "the OpenAI SDK on httpx": f"""
import httpx, openai
client = openai.OpenAI(http_client=httpx.Client())
def node(state):
    answer = client.chat.completions.create(model="gpt-test", messages={ASK})
    return {{"messages": [AIMessage(answer.choices[0].message.content)]}}
""",
    "a thread of its own": f"""
import openai
from concurrent.futures import ThreadPoolExecutor
client, pool = openai.OpenAI(), ThreadPoolExecutor(1)
def node(state):
    call = pool.submit(client.chat.completions.create, model="gpt-test", messages={ASK})
    return {{"messages": [AIMessage(call.result().choices[0].message.content)]}}
""",
}


@pytest.fixture
def graph(opened: Opened) -> Callable[..., LangGraphWrapper]:
    """A graph of one node, which asks a client."""

    def make(client: str, **more: Any) -> LangGraphWrapper:
        code = HEAD + CLIENTS[client] + "graph = one_node(MessagesState, node)"
        return opened({"my_agent.py": code}, **more)

    return make


@pytest.mark.parametrize("client", CLIENTS)
def test_calls_are_counted_recorded_and_replayed(
    vendor: Vendor, graph: Callable[..., LangGraphWrapper], client: str
) -> None:
    """A replay asks nobody, and no key is in the record."""
    model = graph(client)
    with Ledger().open() as ledger:
        answer = model.predict("hi")
    assert answer.startswith(("Answer to: hi", "Claude answers: hi"))
    assert (ledger.spent.calls, vendor.stats["calls"], ledger.unseen) == (1, 1, {})
    assert ledger.spent.tokens > 0
    text = ledger.cassette.text()
    assert KEY not in text
    with Ledger(cassette=Cassette.parse(text, strict=True)).open() as replay:
        assert model.predict("hi") == answer
    assert (replay.reused.calls, replay.cassette.misses, vendor.stats["calls"]) == (1, 0, 1)


@pytest.mark.parametrize(
    "client",
    ["ChatOpenAI, made at import", "the Anthropic SDK", "a thread of its own", "the OpenAI SDK on httpx"],
)
def test_a_budget_holds(vendor: Vendor, graph: Callable[..., LangGraphWrapper], client: str) -> None:
    """The call after the last one of the budget is refused with the limit's name, and not sent."""
    model = graph(client)
    with Ledger(max_calls=1).open():
        model.predict("one")
        with pytest.raises(ModelError, match="max_calls 1 is spent"):
            model.predict("two")
    assert vendor.stats["calls"] == 1


def test_money_is_counted_by_the_prices(vendor: Vendor, graph: Callable[..., LangGraphWrapper]) -> None:
    """The price of ``openai:model`` counts; with a limit of money, a model without a price is refused."""
    model = graph("the OpenAI SDK", prices={"openai:gpt-test": [1.0, 1.0]})
    with Ledger(max_cost_usd=1).open() as ledger:
        model.predict("one")
    assert ledger.spent.cost_usd == pytest.approx(ledger.spent.tokens / 1e6)
    model = graph("the OpenAI SDK")
    with (
        Ledger(max_cost_usd=1).open(),
        pytest.raises(ModelError, match="llm.prices has no 'openai:gpt-test'"),
    ):
        model.predict("one")


@pytest.mark.parametrize(
    "client", ["ChatOpenAI, made at import", "ChatAnthropic", "the OpenAI SDK", "the Anthropic SDK"]
)
def test_a_record_answers_without_a_key(
    vendor: Vendor, graph: Callable[..., LangGraphWrapper], monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    """Clients that insist on a key are made without one; a call that is not on the record is refused, not sent."""
    with Ledger().open() as ledger:
        answer = graph(client).predict("hi")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name)
    model = graph(client)
    with Ledger(cassette=Cassette.parse(ledger.cassette.text(), strict=True)).open():
        assert model.predict("hi") == answer
    with pytest.raises(ModelError, match="No key for .*-test. Set .*_API_KEY in the environment"):
        model.predict("another")


@pytest.mark.parametrize("client", ["ChatOpenAI, made at import", "ChatOpenAI on httpx"])
def test_outside_an_evaluation_a_stream_stays_a_stream(
    vendor: Vendor, graph: Callable[..., LangGraphWrapper], client: str
) -> None:
    """Tokens of a client of its own reach the caller in pieces, and the call is counted at its end."""
    model = graph(client)

    async def events() -> list[str]:
        with tally() as usage:
            found = [event.data async for event in model.astream({"question": "hi"}) if event.kind == "token"]
        assert usage.calls == 1
        return found

    assert len(loop.run(events())) > 1


def test_models_that_use_no_request_are_named(opened: Opened) -> None:
    """A model in the process is noted by its class, since no call of it was seen."""
    code = """
from langchain_core.language_models import FakeListChatModel
model = FakeListChatModel(responses=["You said: hi"])
def node(state): return {"messages": [model.invoke("hi")]}
graph = one_node(MessagesState, node)
"""
    with Ledger().open() as ledger:
        assert opened({"my_agent.py": HEAD + code}).predict(["hi", "hi"]) == ["You said: hi"] * 2
    assert ledger.unseen == {"FakeListChatModel": 2}


#: Client of another protocol -> the code of a node that asks it at `url`, and the path of its call.
OTHERS = {
    "Gemini": (
        """
client = genai.Client(api_key="k", http_options={"base_url": url})
def node(state):
    answer = client.models.generate_content(model="gemini-test", contents="hi")
    return {"messages": [AIMessage(answer.text)]}
""",
        "/v1/models/gemini-test:generateContent",
    ),
    "Gemini, asynchronous": (
        """
client = genai.Client(api_key="k", http_options={"base_url": url})
async def node(state):
    stream = await client.aio.models.generate_content_stream(model="gemini-test", contents="hi")
    return {"messages": [AIMessage("".join([part.text async for part in stream]))]}
""",
        "/v1/models/gemini-test:streamGenerateContent",
    ),
    "Ollama": (
        """
async def node(state):
    answer = await ollama.AsyncClient(url).chat("llama-test", [{"role": "user", "content": "hi"}])
    return {"messages": [AIMessage(answer.message.content)]}
""",
        "/api/chat",
    ),
    "Bedrock": (
        """
client = boto3.client("bedrock-runtime", "us-east-1", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b")
def node(state):
    answer = client.converse(modelId="titan-test", messages=[{"role": "user", "content": [{"text": "hi"}]}])
    return {"messages": [AIMessage(answer["output"]["message"]["content"][0]["text"])]}
""",
        "/model/titan-test/converse",
    ),
    "requests": (
        """
def node(state):
    answer = requests.post(f"{url}/v1/chat/completions", json={"model": "gpt-test"}).json()
    return {"messages": [AIMessage(answer["choices"][0]["message"]["content"])]}
""",
        "/v1/chat/completions",
    ),
}


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server, which ends with the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class OtherVendor(BaseHTTPRequestHandler):
    """Answers "Hello" in the protocols of Google, Ollama, Bedrock and OpenAI, all at once."""

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        message = {"role": "assistant", "content": "Hello"}
        answer = {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}}],
            "message": message, "choices": [{"message": message}], "done": True, "stopReason": "end_turn",
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        }  # fmt: skip
        streams = "stream" in self.path
        body = json.dumps(answer).encode()
        body = b"data: " + body + b"\n\n" if streams else body
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.mark.parametrize("client", OTHERS)
def test_calls_of_other_protocols_are_named(opened: Opened, client: str) -> None:
    """The report cannot count them, and has their addresses; the calls themselves work as before."""
    code, path = OTHERS[client]
    imports = "import boto3, ollama, requests\nfrom google import genai\n"
    with serving(OtherVendor) as url, Ledger().open() as ledger:
        code = f"{imports}url = {url!r}\n{code}graph = one_node(MessagesState, node)"
        model = opened({"my_agent.py": HEAD + code})
        assert model.predict(["hi", "hi"]) == ["Hello"] * 2
    assert (ledger.spent.calls, ledger.unseen) == (0, {f"127.0.0.1{path}": 2})


def test_a_method_that_another_library_has_changed_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a library of tracing. An address that a proxy is asked for has its own host, and no password."""
    urlopen = HTTPConnectionPool.urlopen

    @wraps(getattr(urlopen, "__wrapped__", urlopen))
    def traced(*_: Any, **__: Any) -> str:
        return "sent"

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", traced)
    monkeypatch.setattr(ClientSession, "_request", ClientSession._request)  # restores it
    uncounted.watch()
    with Ledger().open() as ledger, HTTPConnectionPool("proxy.example") as pool:
        assert pool.urlopen("POST", "http://me:secret@llm.example/v1/completions?key=secret") == "sent"
        assert pool.urlopen("POST", "/api/chat") == "sent"
    assert ledger.unseen == {"llm.example/v1/completions": 1, "proxy.example/api/chat": 1}


class Moved(BaseHTTPRequestHandler):
    """A server that has moved to /v2. Its first answer there breaks off."""

    protocol_version = "HTTP/1.1"
    answers = 0

    def do_POST(self) -> None:
        """Redirect, hang up or answer."""
        self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/v1"):
            self.send_response(307)
            self.send_header("location", self.path.replace("v1", "v2"))
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
        type(self).answers += 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.answers > 1 else body[:9])
        self.close_connection = self.answers == 1

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def moved() -> Iterator[str]:
    """Its address."""
    Moved.answers = 0
    with serving(Moved) as url:
        yield url


@pytest.mark.parametrize("library", [httpx2, httpx])
def test_a_retry_has_the_turn_of_its_failure(moved: str, library: Any) -> None:
    """An answer that breaks off is on the record. The retry's answer replaces it, so that a replay finds it."""
    own_clients.meter({})

    def ask(retries: int) -> Any:
        headers = {"x-stainless-retry-count": str(retries)}
        return client.post(f"{moved}/v2/chat/completions", json={"model": "m"}, headers=headers)

    with library.Client() as client, Ledger().open() as ledger:
        with one_row():
            with pytest.raises(library.RemoteProtocolError):
                ask(0)
            assert [(entry.status, entry.turn) for entry in ledger.cassette.used.values()] == [(0, 0)]
            assert ask(1).json()["usage"]
        record = Cassette.parse(ledger.cassette.text(), strict=True)
        with one_row(), Ledger(cassette=record).open() as replay:
            assert ask(0).json()["usage"]
    assert (replay.cassette.misses, Moved.answers) == (0, 2)


@pytest.mark.parametrize("library", [httpx2, httpx])
def test_a_redirected_call_is_counted(moved: str, library: Any) -> None:
    """A client that follows redirects still does, and pays for the answer once."""
    own_clients.meter({})
    Moved.answers = 1
    with library.Client(follow_redirects=True) as client, tally() as usage:
        answer = client.post(f"{moved}/v1/chat/completions", json={"model": "m"})
    assert answer.json()["usage"]
    assert (usage.calls, usage.tokens) == (1, 7)


@pytest.mark.parametrize("library", [httpx2, httpx])
def test_another_services_requests_pass(moved: str, library: Any) -> None:
    """A service of another protocol may have paths with the same ends."""
    own_clients.meter({})
    Moved.answers = 1
    with library.Client() as client:
        assert client.post(f"{moved}/v2/embeddings", json=["a text"]).is_success
    assert of_answer({"usage": "much"}, "openai:m", {}).tokens == 0


#: How a graph's own code sets a key that the environment lacks.
OWN_KEYS = {
    "a .env file": "from dotenv import load_dotenv\nload_dotenv({env!r})",
    "a default": "import os\nos.environ.setdefault('OPENAI_API_KEY', {key!r})\nos.environ.setdefault('ANTHROPIC_API_KEY', {key!r})",
    "a question for it": "import os\nfor name in ('OPENAI_API_KEY', 'ANTHROPIC_API_KEY'):\n    if not os.getenv(name): os.environ[name] = {key!r}",
}


@pytest.mark.parametrize("client", ["ChatOpenAI, made at import", "ChatAnthropic", "the Anthropic SDK"])
@pytest.mark.parametrize("way", OWN_KEYS)
def test_a_graph_may_set_a_missing_key_itself(
    vendor: Vendor, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, way: str
) -> None:
    """No stand-in is where the graph's code looks for a key before it sets one, and none is left afterwards."""
    for name in KEY_VARIABLES.values():
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={KEY}\n" for name in KEY_VARIABLES.values()))
    code = OWN_KEYS[way].format(env=str(env), key=KEY) + HEAD + CLIENTS[client]
    model = opened({"my_agent.py": f"{code}graph = one_node(MessagesState, node)"})
    assert model.predict("hi")
    assert [key.removeprefix("Bearer ") for key in vendor.stats["keys"]] == [KEY]
    assert NO_KEY not in os.environ.values()


def test_only_a_missing_key_makes_a_graph_build_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another error is raised at once; the second time, all missing keys have stand-ins, and none afterwards."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    seen = []

    def build(wanted: str) -> None:
        seen.append(os.environ.get("ANTHROPIC_API_KEY"))
        if wanted not in os.environ:
            raise ModelError(f"KeyError: {wanted}")
        raise ModelError(f"{wanted} is wrong")

    for wanted, tries in (
        ("ANTHROPIC_API_KEY", [None, NO_KEY]),
        ("OPENAI_API_KEY", [None]),
        ("MY_KEY", [None]),
    ):
        seen.clear()
        with pytest.raises(ModelError, match=wanted):
            own_clients.with_stand_ins(lambda wanted=wanted: build(wanted))
        assert seen == tries
        assert NO_KEY not in os.environ.values()
