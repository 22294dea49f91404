"""Calls to vendors through their own SDKs: retries, refusals, limits and accounting."""

import threading
import time
from contextlib import aclosing

import pytest

from mlops_lib.errors import ModelError
from mlops_lib.llm.accounting.cassette import Cassette
from mlops_lib.llm.accounting.ledger import Ledger, tally
from mlops_lib.llm.chat import chat_model, openai_client
from mlops_lib.llm.fake.extract import UNKNOWN, reply
from mlops_lib.llm.transport import loop
from mlops_lib.settings import LlmSettings
from tests.support.llm_fixtures import KEY, Vendor
from tests.support.waiting import LIMIT_S

SETTINGS = LlmSettings(timeout_s=60, prices={"openai:gpt-test": [1.0, 2.0]})


@pytest.mark.parametrize("kind", ["429", "500", "truncated", "drop"])
def test_a_fault_that_passes_is_retried(vendor: Vendor, kind: str) -> None:
    """A 429, a 5xx, half an answer and a lost connection are each tried again, and then answered."""
    vendor.control(faults=[{"kind": kind, "times": 1}])
    answer = loop.run(chat_model("openai:gpt-test", SETTINGS).ainvoke("hi"))
    assert answer.text == "Answer to: hi"
    assert vendor.stats["calls"] == 2


def test_a_time_out_is_retried(vendor: Vendor) -> None:
    """The vendor never answers the first call; the call is tried again after `timeout_s`, and then answered."""
    vendor.control(faults=[{"kind": "slow", "times": 1}])
    answer = loop.run(chat_model("openai:gpt-test", LlmSettings(timeout_s=2, max_retries=20)).ainvoke("hi"))
    assert answer.text == "Answer to: hi"
    assert vendor.stats["calls"] >= 2


def test_retry_after_is_honoured(vendor: Vendor) -> None:
    """The next try waits as long as the server asked for, which is longer than the backoff."""
    vendor.control(faults=[{"kind": "retry_after", "times": 1}])
    loop.run(chat_model("openai:gpt-test", SETTINGS).ainvoke("hi"))
    first, second = vendor.stats["starts"]
    assert second - first >= 1.0


@pytest.mark.parametrize("kind", ["400", "401", "quota"])
def test_a_refusal_that_stays_is_not_retried(vendor: Vendor, kind: str) -> None:
    """A bad request, a wrong key and an account without money are tried once."""
    vendor.control(faults=[{"kind": kind, "times": -1}])
    with pytest.raises(Exception, match="Error code"):
        loop.run(chat_model("openai:gpt-test", SETTINGS).ainvoke("hi"))
    assert vendor.stats["calls"] == 1


def test_retries_end(vendor: Vendor) -> None:
    """A server that stays broken is called once and `max_retries` times more."""
    vendor.control(faults=[{"kind": "429", "times": -1}])
    with pytest.raises(Exception, match="429"):
        loop.run(chat_model("openai:gpt-test", LlmSettings(max_retries=2)).ainvoke("hi"))
    assert vendor.stats["calls"] == 3


@pytest.mark.slow
def test_claude_speaks_through_its_own_sdk(vendor: Vendor) -> None:
    """`anthropic:` calls the Messages API with the key of the environment, and its usage is counted."""
    with tally() as usage:
        answer = loop.run(chat_model("anthropic:claude-test", SETTINGS).ainvoke("hi"))
    assert answer.text == "Claude answers: hi"
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 7, 3)
    assert KEY in vendor.stats["keys"][0]


def test_usage_and_cost_are_the_providers(vendor: Vendor) -> None:
    """Tokens are those of the provider's answer and money follows llm.prices, streamed or not."""
    model = chat_model("openai:gpt-test", SETTINGS)

    async def streamed() -> str:
        return "".join([str(chunk.text) async for chunk in model.astream("hi")])

    for ask in (lambda: model.invoke("hi"), lambda: loop.run(streamed())):
        with tally() as usage:
            ask()
        assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 10, 5)
        assert usage.cost_usd == pytest.approx(20e-6)


def test_no_key_means_no_call(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is sent, and the error names the variable to set."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(Exception, match="Set ANTHROPIC_API_KEY"):
        chat_model("anthropic:claude-test", SETTINGS).invoke("hi")
    assert vendor.stats["calls"] == 0


@pytest.mark.parametrize("left", [True, False], ids=["the caller leaves", "the vendor breaks off"])
def test_a_stream_without_its_end_is_counted(vendor: Vendor, left: bool) -> None:
    """The vendor tells the tokens at the end; without it each event is a token, and the request's length counts."""
    if left:
        vendor.control(chunks=20, chunk_s=LIMIT_S)  # so that the end does not come
    else:
        vendor.control(chunks=20, faults=[{"kind": "drop_stream", "times": -1}])
    model = chat_model("openai:gpt-test", SETTINGS)

    async def read() -> None:
        async with aclosing(model.astream("a question of some words")) as chunks:
            async for _ in chunks:
                if left:
                    break

    with tally() as usage:
        try:
            loop.run(read())
        except Exception:
            assert not left
    assert usage.calls == 1 and usage.prompt_tokens > 10 and 1 <= usage.completion_tokens <= 20 * 7


def test_one_model_serves_many_loops(vendor: Vendor) -> None:
    """A model may be used from several threads, each with an event loop of its own."""
    import asyncio

    model, answers = chat_model("openai:gpt-test", SETTINGS), []

    def ask() -> None:
        for i in range(3):
            answers.append(asyncio.run(model.ainvoke(f"{i}")).text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(answers) == sorted([f"Answer to: {i}" for i in range(3)] * 3)


@pytest.mark.parametrize("limit", [{"max_calls": 3}, {"max_tokens": 45}, {"max_cost_usd": 60e-6}])
def test_a_budget_ends_calls(vendor: Vendor, limit: dict[str, float]) -> None:
    """When calls, tokens or money are spent, no further call is made."""
    model, ledger = chat_model("openai:gpt-test", SETTINGS), Ledger(**limit)
    with ledger.open():
        for i in range(3):
            model.invoke(f"{i}")
        with pytest.raises(Exception, match="budget stops here"):
            model.invoke("one more")
    assert vendor.stats["calls"] == 3


def test_money_needs_prices(vendor: Vendor) -> None:
    """A budget in money refuses a model without a price, rather than counting it as free."""
    with Ledger(max_cost_usd=1.0).open(), pytest.raises(Exception, match=r"llm\.prices"):
        chat_model("openai:gpt-test").invoke("hi")
    assert vendor.stats["calls"] == 0


def test_fake_models_cost_nothing() -> None:
    """A limit in money needs no price of theirs, and they do not count as calls without one."""
    with Ledger(max_cost_usd=1.0).open() as ledger:
        assert chat_model("fake:extract").invoke("What is it?").text == UNKNOWN
    assert (ledger.spent.calls, ledger.spent.unpriced, ledger.spent.cost_usd) == (1, 0, 0.0)


def test_calls_per_minute_spaces_calls(vendor: Vendor) -> None:
    """Four calls at 600 a minute take at least the three tenths of a second between their starts."""
    model = chat_model("openai:gpt-test", SETTINGS)
    began = time.monotonic()
    with Ledger(calls_per_minute=600).open():
        for i in range(4):
            model.invoke(f"{i}")
    assert time.monotonic() - began >= 0.3


def test_a_recorded_call_needs_no_server(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded call is answered without key or network; in a replay any other call is an error."""
    ledger = Ledger()
    with ledger.open():
        chat_model("openai:gpt-test", SETTINGS).invoke("hi")
    replay = Cassette.parse(ledger.cassette.text(), strict=True)
    vendor.control()
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    with Ledger(cassette=replay).open():
        assert chat_model("openai:gpt-test", SETTINGS).invoke("hi").text == "Answer to: hi"
        with pytest.raises(Exception, match="not on the cassette"):
            chat_model("openai:gpt-test", SETTINGS).invoke("something else")
    assert vendor.stats["calls"] == 0 and replay.misses == 1


def test_another_server_is_asked_anew(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a replay, a recorded answer counts for its own server only."""
    ledger = Ledger()
    with ledger.open():
        chat_model("openai:gpt-test", SETTINGS).invoke("hi")
    known = Cassette.parse(ledger.cassette.text())
    monkeypatch.setenv("OPENAI_BASE_URL", vendor.url.replace("127.0.0.1", "localhost") + "/v1")
    with Ledger(cassette=known).open():
        chat_model("openai:gpt-test", SETTINGS).invoke("hi")
    assert vendor.stats["calls"] == 2


@pytest.mark.parametrize("name", ["gpt-4o", "openai:", "mystery:model", ""])
def test_an_unknown_model_says_what_to_write(name: str) -> None:
    """A name of another form than provider:model is an error that lists the providers."""
    with pytest.raises(ModelError, match="anthropic, fake, openai"):
        chat_model(name)


def test_embeddings_do_not_speak_anthropic() -> None:
    """A judge or embedding model must speak OpenAI's protocol."""
    with pytest.raises(ModelError, match="openai:"):
        openai_client("anthropic:claude-test")


def test_the_fake_answers_from_context_and_cites() -> None:
    """The shipped fake takes the sentence that fits from the passages, cites it, and else says it does not know."""
    passages = "[1] a\nCats are green. Dogs are blue.\n\n[2] b\nFish can swim.\n\n"
    for question, wanted in (
        ("Which colour are dogs?", "Dogs are blue. [1]"),
        ("Who wrote Hamlet?", UNKNOWN),
    ):
        message = {"role": "user", "content": f"{passages}Question: {question}"}
        assert reply([message])["content"] == wanted


def test_the_fake_calls_a_tool_with_the_questions_numbers() -> None:
    """A question that gives every required argument as name=value gets a tool call, any other gets an answer."""
    parameters = {"properties": {"a": {"type": "integer"}, "b": {"type": "number"}}, "required": ["a", "b"]}
    tools = [{"type": "function", "function": {"name": "add", "parameters": parameters}}]
    called = reply([{"role": "user", "content": "Add a=1 and b=2.5"}], tools)["tool_calls"][0]["function"]
    assert called == {"name": "add", "arguments": '{"a": 1, "b": 2.5}'}
    assert reply([{"role": "user", "content": "Add a=1"}], tools)["content"] == UNKNOWN
