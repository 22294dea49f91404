"""The client of chat completions on vendors that answer slowly, in odd pieces, wrongly, or not to the end."""

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from mlops_lib.llm.accounting.event_usage import EventUsage
from mlops_lib.llm.accounting.ledger import tally
from mlops_lib.llm.chat import vendor_model
from mlops_lib.llm.vendors import events
from mlops_lib.llm.vendors.chat_client import suits
from mlops_lib.llm.vendors.events import EventReader
from mlops_lib.llm.vendors.retries import may_retry, wait_s
from mlops_lib.llm.vendors.vendor import Answer, VendorError
from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.llm import LLMClientWrapper
from mlops_lib.wrappers.text.answers import measured
from tests.support.waiting import until

HI = [{"role": "user", "content": "hi"}]
TEXTS = ["안녕", " 하세요 ", "\n\n", '"quoted"', "\r\n", "\x85\u2028", "🙂", "data: [DONE]"]
USAGE = {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(delta: dict[str, Any], finish: str | None = None, end: str = "\n\n") -> bytes:
    """One event of a stream."""
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}{end}".encode()


def whole_stream(end: str = "\n\n") -> bytes:
    """The events of an answer with `TEXTS`."""
    events = [event({"content": text}, end=end) for text in TEXTS]
    usage = f"data: {json.dumps({'choices': [], 'usage': USAGE})}{end}".encode()
    return b"".join([*events, event({}, "stop", end), usage, b"data: [DONE]" + end.encode()])


def chunked(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """Pieces as chunks of HTTP."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


def with_server(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], use: Callable[[Any], Any], pause_s: float = 0.0
) -> Any:
    """Run `use` with a model whose vendor answers every request with `pieces`, each in a packet of its own, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        writer.close()

    async def main() -> Any:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1/")
            return await use(vendor_model("openai:gpt-test", LlmSettings(max_retries=0), {}))

    return asyncio.run(main())


async def streamed(model: Any) -> tuple[list[str], Answer]:
    """Texts of the parts of a stream, and the answer at its end."""
    async with aclosing(model.stream(HI, {})) as parts:
        found = [part async for part in parts]
    assert isinstance(found[-1], Answer)
    return [part.text for part in found[:-1]], found[-1]


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_events_are_the_same_however_they_are_cut(size: int, end: str) -> None:
    """Inside a character, a line's end or an event."""
    stream, reader = b": a comment" + end.encode() + whole_stream(end), EventReader()
    found = [data for at in range(0, len(stream), size) for data in reader.feed(stream[at : at + size])]
    found += reader.end()
    texts = [json.loads(data)["choices"][0]["delta"]["content"] for data in found[: len(TEXTS)]]
    assert texts == TEXTS and found[-1] == b"[DONE]" and len(found) == len(TEXTS) + 3


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_a_stream_has_each_text_as_the_vendor_sent_it(monkeypatch, size):
    """However its bytes are spread over packets; tokens are counted, and the answer is their sum."""
    body = HEAD + chunked(whole_stream())
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    with tally() as usage:
        texts, answer = with_server(monkeypatch, pieces, streamed)
    assert texts == TEXTS and (answer.text, answer.finish) == ("".join(TEXTS), "stop")
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 3, 8)


def test_a_part_is_passed_on_before_the_next_has_come(monkeypatch):
    """A slow vendor's first word does not wait for the second."""

    async def first(model: Any) -> str:
        async with aclosing(model.stream(HI, {})) as parts:
            return (await anext(parts)).text

    pieces = [HEAD + chunked(event({"content": "one"}), last=b""), chunked(event({"content": "two"}))]
    assert with_server(monkeypatch, pieces, first, pause_s=30) == "one"


@pytest.mark.parametrize(
    ("pieces", "says"),
    [
        ([HEAD + chunked(event({"content": "x"}))], "ended before the answer did"),
        ([HEAD + chunked(event({"content": "x"}), last=b"")], "broke off"),
        ([HEAD + chunked(b"data: {half\n\n")], "no JSON"),
        ([HEAD + chunked(b"data: [1]\n\n")], "in place of an object"),
        ([HEAD + chunked(b'data: {"error": {"message": "too long"}}\n\n')], "too long"),
        ([HEAD + chunked()], "ended before"),
        ([b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}"], "Error code: 500"),
        (
            [b"HTTP/1.1 308 Oh\r\nlocation: https://x/\r\ncontent-length: 0\r\n\r\n"],
            "redirects to https://x/",
        ),
        ([b"no HTTP\r\n\r\n"], "Connection error"),
        ([b""], "Connection error"),
    ],
)
def test_a_stream_that_is_not_whole_is_an_error(monkeypatch, pieces, says):
    """Never a short answer that looks whole. The text names the cause."""
    with pytest.raises(VendorError, match=says):
        with_server(monkeypatch, pieces, streamed)


def test_an_event_without_an_end_is_an_error(monkeypatch):
    """A vendor cannot fill the memory of the service with one line."""
    monkeypatch.setattr(events, "MAX_EVENT", 100)
    with pytest.raises(VendorError, match="an event of more than 100 bytes"):
        with_server(monkeypatch, [HEAD + chunked(b"data: " + b"x" * 200)], streamed)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "in place of an object"),
        (b"{}", "no 'choices'"),
        (b'{"error": {"message": "no such model"}}', "no such model"),
        (b'{"choices": []}', "no 'choices'"),
    ],
)
def test_an_answer_that_is_none_is_an_error(monkeypatch, body, says):
    """With what came instead."""
    pieces = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    ]
    with pytest.raises(VendorError, match=says):
        with_server(monkeypatch, pieces, lambda model: model.answer(HI, {}))


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"200 OK\r\ncontent-type: text/html", "127.0.0.1:\\d+ sent a page, .* check the address"),
        (b"200 OK\r\ncontent-type: text/plain", "no JSON: .*<p>hi"),
        (b"307 Oh\r\nlocation: https://x/", "redirects to https://x/: set OPENAI_BASE_URL"),
    ],
)
def test_a_server_that_is_no_vendor_is_an_error(monkeypatch, head, says):
    """The text says what to check."""
    pieces = [b"HTTP/1.1 " + head + b"\r\ncontent-length: 5\r\n\r\n<p>hi"]
    with pytest.raises(VendorError, match=says):
        with_server(monkeypatch, pieces, lambda model: model.answer(HI, {}))


@pytest.mark.parametrize("sep", ["data: ", "data:"])
def test_a_stream_costs_the_tokens_that_the_vendor_tells(sep):
    """Also one of OpenAI's Responses API, which has many more events than tokens, and no ``[DONE]``."""
    told = {"input_tokens": 5, "output_tokens": 1}
    parts = [{"type": "response.output_text.delta", "delta": "Hi"}] * 8
    last = {"type": "response.completed", "response": {"usage": told}}
    usage = EventUsage(400)
    usage.read("".join(f"{sep}{json.dumps(each)}\n\n" for each in [*parts, last]).encode())
    assert usage.counted() == told
    usage = EventUsage(400)
    chunks = [event({"content": "h"}).decode().removeprefix("data: ").strip()] * 9
    lines = [*chunks, json.dumps({"choices": [], "usage": USAGE}), "[DONE]"]
    usage.read("".join(f"{sep}{line}\n\n" for line in lines).encode())
    assert usage.counted() == USAGE


@pytest.mark.parametrize("data", ['["usage"]', '{"message": "no", "usage": [1]}', '{"response": "usage"}'])
def test_an_odd_event_does_not_break_a_stream(data):
    """It counts as a token."""
    usage = EventUsage(40)
    usage.read(f"data: {data}\n\n".encode())
    assert usage.counted() == {"prompt_tokens": 10, "completion_tokens": 1}


def test_tool_calls_keep_the_vendors_own_arguments(monkeypatch):
    """Calls that come in turns, one without a number and one whose arguments are no JSON."""
    pieces = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":'}},
        {"index": 0, "function": {"arguments": '{ "y" : 1.0 }'}},
    ]
    events = [event({"tool_calls": [piece]}) for piece in pieces]
    whole = {"id": "c", "function": {"name": "h", "arguments": "{}"}}
    body = HEAD + chunked(*events, event({"tool_calls": [whole]}, "tool_calls"), b"data: [DONE]\n\n")
    _, answer = with_server(monkeypatch, [body], streamed)
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in answer.calls] == [
        ("a", "f", '{ "y" : 1.0 }'), ("b", "g", '{"x":'), ("c", "h", "{}"),
    ]  # fmt: skip
    assert answer.finish == "tool_calls"


@pytest.mark.parametrize("streams", [True, False])
def test_a_caller_who_leaves_ends_the_vendors_work(vendor, streams):
    """After the first part of a stream, or before a whole answer: the connection is closed."""

    async def leave() -> None:
        model = vendor_model("openai:gpt-test", LlmSettings(), {})
        if streams:
            async with aclosing(model.stream(HI, {})) as parts:
                await anext(parts)
        else:
            task = asyncio.create_task(model.answer(HI, {}))
            await asyncio.to_thread(until, lambda: vendor.stats["calls"] == 1, "the vendor is asked")
            task.cancel()
            await asyncio.wait([task])
        await asyncio.to_thread(until, lambda: vendor.stats["cancelled_at"], "the vendor has seen it")

    vendor.control(chunks=200, chunk_s=0.05, delay_s=0.0 if streams else 600.0)
    asyncio.run(leave())


def test_an_address_may_have_user_and_password(vendor, monkeypatch):
    """They are sent in place of the key, as by the vendors' SDKs, and the address has them no more."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{vendor.url.replace('//', '//ada:l0velace@')}/v1")
    asyncio.run(vendor_model("openai:gpt-test", LlmSettings(max_retries=0), {}).answer(HI, {}))
    assert vendor.stats["keys"] == ["Basic YWRhOmwwdmVsYWNl"]


def test_a_connection_is_used_again(vendor):
    """After an answer and after a stream."""

    async def ports() -> int:
        model = vendor_model("openai:gpt-test", LlmSettings(), {})
        for _ in range(3):
            await streamed(model)
            await model.answer(HI, {})
        transports = list(model._metered._async.values())
        return sum(map(len, transports[0]._session.connector._conns.values()))

    vendor.control(chunks=1)
    assert asyncio.run(ports()) == 1


@pytest.mark.slow
def test_the_connections_of_a_loop_end_with_it(vendor):
    """A model may be asked from one loop after another: no connection and no loop stays behind."""
    model = vendor_model("openai:gpt-test", LlmSettings(), {})
    port, loops = urlsplit(vendor.url).port, []

    def connections() -> set[int]:
        return {c.fd for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port}

    others = connections()  # of other tests in this process

    async def ask() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await model.answer(HI, {})

    for _ in range(3):
        asyncio.run(ask())
        assert connections() <= others
    gc.collect()
    assert [loop() for loop in loops[:-1]] == [None, None]


@pytest.mark.parametrize(
    ("name", "params", "wanted"),
    [
        ("gpt-4o-mini", {"temperature": 0, "extra_body": {"top_k": 1}}, True),
        ("org/llama-3", {"max_tokens": 5}, True),
        ("gpt-5-chat-latest", {}, True),
        ("gpt-5.1", {"temperature": 0}, False),
        ("o3-mini", {}, False),
        ("gpt-5-codex", {}, False),
        ("gpt-4o", {"use_responses_api": True}, False),
    ],
)
def test_models_of_another_protocol_go_through_langchain(name, params, wanted):
    """OpenAI's reasoning models, and parameters that are no fields of a chat completion."""
    assert suits("openai", name, params) is wanted and suits("anthropic", name, params) is False


@pytest.mark.parametrize(
    ("status", "headers", "wanted"),
    [
        (429, {}, True), (503, {}, True), (408, {}, True), (409, {}, True), (400, {}, False), (404, {}, False),
        (400, {"x-should-retry": "true"}, True), (500, {"x-should-retry": "false"}, False),
        (429, {"retry-after": "121"}, False), (429, {"retry-after": "120"}, True), (429, {"retry-after": "soon"}, True),
    ],
)  # fmt: skip
def test_retries_follow_the_rules_of_the_vendors_sdks(status, headers, wanted):
    """The same as OpenAI's own client."""
    import httpx2
    from openai import OpenAI

    response = httpx2.Response(status, headers=headers)
    client = OpenAI(api_key="none", base_url="http://x")
    assert may_retry(status, headers) is wanted is client._should_retry(response)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after-ms": "1500"}, 1.5, 1.5), ({"retry-after": "7"}, 7, 7), ({"retry-after": "-1"}, 1.5, 2),
        ({"retry-after": "nan"}, 1.5, 2), ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 1.5, 2), ({}, 1.5, 2),
    ],
)  # fmt: skip
def test_the_wait_is_the_vendors_or_doubles(headers, least, most):
    """The third try waits two seconds, less up to a quarter."""
    assert least <= wait_s(2, headers) <= most
    assert wait_s(1000, {}) <= 8


def test_tool_calls_of_a_prompt_are_in_its_trajectory(vendor, tmp_path):
    """Of a model whose parameters have tools: its answer has no text."""
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    (tmp_path / "prompts.yaml").write_text("user: '{{question}}'")
    (tmp_path / "config.json").write_text(
        json.dumps({"model": "openai:gpt-test", "params": {"tools": [tool]}})
    )
    vendor.control(calls=[call])
    model = LLMClientWrapper()
    model.ready(tmp_path, LlmSettings())
    made = asyncio.run(measured(model.generate, {"question": "hi"}))
    assert made.output == "" and made.trajectory.tool_calls == [{"name": "add", "args": {"a": 1}}]
