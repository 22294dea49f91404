"""Chats with OpenAI's own client: to a vendor's LLM over HTTP, to the model without a key, and to graphs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mlflow.models import Model

from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.langgraph import LangGraphWrapper
from mlops_lib.wrappers.llm import LLMClientWrapper
from mlops_lib.wrappers.text.package import text_signature
from tests.llm.test_graph import GRAPH
from tests.support.toy_service import toy_service

if TYPE_CHECKING:
    import openai

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
CALL = {"id": "call_7", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "one", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
PROMPTS = "system: Answer briefly.\nuser: 'Q: {{question}}'\n"
HI = [{"role": "user", "content": "hi"}]


def llm(
    folder: Path, model: str = "openai:gpt-test", prompts: str = PROMPTS, **params: Any
) -> LLMClientWrapper:
    """A model of one prompt."""
    (folder / "prompts.yaml").write_text(prompts)
    (folder / "config.json").write_text(json.dumps({"model": model, "params": params}))
    made = LLMClientWrapper()
    made.info = Model(signature=text_signature(["question"], {}))
    made.ready(folder, LlmSettings(max_retries=0))
    return made


def graph(folder: Path, code: str = GRAPH, **config: Any) -> LangGraphWrapper:
    """The graph of `tests.llm.test_graph`, or another."""
    (folder / "langgraph.py").write_text(code)
    (folder / "prompts.yaml").write_text("prefix: ''\n")
    (folder / "config.json").write_text(json.dumps({"model": "openai:gpt-test", "history": True, **config}))
    made = LangGraphWrapper()
    made.ready(folder, LlmSettings(max_retries=0))
    return made


def with_client(folder: Path, model: Any, test: Callable[["openai.AsyncOpenAI"], Awaitable[Any]]) -> Any:
    """Run a test with a client of the service on a model."""
    import openai

    async def main() -> Any:
        async with toy_service(folder, model) as app:
            http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app))
            return await test(
                openai.AsyncOpenAI(
                    base_url="http://service/v1", api_key="any", max_retries=0, http_client=http
                )
            )

    return asyncio.run(main())


def ask(folder: Path, model: Any, *requests: dict[str, Any]) -> list[Any]:
    """The answers to chats, and for one that is refused the error."""
    import openai

    async def test(client: "openai.AsyncOpenAI") -> list[Any]:
        found: list[Any] = []
        for request in requests:
            try:
                answer: Any = await client.chat.completions.create(
                    **{"model": "toy", "messages": HI, **request}
                )
                found.append([chunk async for chunk in answer] if request.get("stream") else answer)
            except openai.APIStatusError as error:
                found.append(error)
        return found

    return with_client(folder, model, test)


def whole(chunks: list[Any]) -> tuple[str, list[Any], str]:
    """Text, tool calls and finish reason of a stream."""
    text, calls, finish = "", {}, ""
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(
                    part.index, {"id": part.id, "name": part.function.name, "arguments": ""}
                )
                call["arguments"] += part.function.arguments or ""
    return text, list(calls.values()), finish


def test_fields_that_are_null_are_absent(tmp_path, vendor):
    """Every field of the protocol but the messages."""
    names = (
        "n", "stream", "stream_options", "stop", "tools", "tool_choice", "response_format", "max_tokens", "temperature",
        "top_p", "seed", "user", "logit_bias", "logprobs", "max_completion_tokens", "metadata", "thread_id", "resume",
        "parallel_tool_calls", "presence_penalty", "frequency_penalty", "store", "anything",
    )  # fmt: skip
    (answer,) = ask(tmp_path, llm(tmp_path), {"extra_body": dict.fromkeys(names)})
    assert answer.choices[0].message.content == "Answer to: Q: hi"
    assert vendor.stats["bodies"][0].keys() <= {"model", "messages", "stream"}


USED = {
    "temperature": 0.25,
    "top_p": 0.5,
    "seed": 7,
    "stop": ["END"],
    "presence_penalty": 1.0,
    "frequency_penalty": -1.0,
    "logit_bias": {"50256": -100},
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "add"}},
    "parallel_tool_calls": False,
    "response_format": SCHEMA,
    "reasoning_effort": "low",
    "user": "u1",
}


@pytest.mark.parametrize("stream", [False, True])
def test_options_reach_the_vendor_as_they_were_sent(tmp_path, vendor, stream):
    """All of them at once, plain and streamed; max_tokens under the vendor's newer name; the caller's beats the package's."""
    vendor.control(calls=[CALL])
    model = llm(tmp_path, temperature=0, max_tokens=100)
    (answer,) = ask(tmp_path, model, {**USED, "max_tokens": 50, "stream": stream})
    assert isinstance(answer, list) == stream, answer
    (body,) = vendor.stats["bodies"]
    assert {name: body.get(name) for name in USED} == USED
    assert body["max_completion_tokens"] == 50 and "max_tokens" not in body


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"logprobs": True}, "cannot use 'logprobs'"),
        ({"n": 2}, "'n' is 2"),
        ({"functions": [{"name": "f"}]}, "'functions'"),
        ({"modalities": ["audio"]}, "'modalities'"),
        ({"extra_body": {"top_k": 5}}, "'top_k'"),
        ({"store": True}, "'store'"),
        ({"max_tokens": 101}, "limit of this model is 100"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "two values"),
        ({"tools": [{"type": "web_search"}]}, "tool 0"),
        ({"tool_choice": "required"}, "needs 'tools'"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"messages": [{"role": "wizard", "content": "x"}, *HI]}, "Message 0"),
        ({"messages": [*HI, {"role": "tool", "content": "2"}]}, "Message 1"),
        ({"messages": [{"role": "user", "content": None}]}, "content must be text"),
        ({"extra_body": {"thread_id": "t"}}, "keeps no conversations: leave out 'thread_id'"),
        ({"extra_body": {"resume": "yes"}}, "leave out 'resume'"),
        ({"messages": [{"role": "system", "content": "x"}]}, "last message"),
        ({"messages": [*HI, {"role": "assistant", "content": "x"}]}, "last message"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_by_name(tmp_path, vendor, options, says):
    """Before the vendor is asked."""
    (error,) = ask(tmp_path, llm(tmp_path, max_tokens=100), options)
    assert error.status_code == 422 and says in str(error) and vendor.stats["calls"] == 0


def test_a_chat_that_the_vendor_refuses_is_the_callers_error(tmp_path, vendor):
    """The vendor's 400 is a 422 with its reason; any other failure stays the service's."""
    vendor.control(faults=[{"kind": "400", "times": -1}])
    (refused,) = ask(tmp_path, llm(tmp_path), {"temperature": 0.5})
    assert refused.status_code == 422 and "As ordered" in str(refused)
    vendor.control(faults=[{"kind": "500", "times": -1}])
    (failed,) = ask(tmp_path, llm(tmp_path), {})
    assert failed.status_code >= 500


@pytest.mark.parametrize("finish", ["length", "content_filter", "stop"])
def test_the_finish_reason_is_the_vendors(tmp_path, vendor, finish):
    """Plain and streamed, of a prompt and of a graph whose answer has the vendor's text."""
    vendor.control(finish=finish, chunks=1)
    for model in (llm(tmp_path), graph(tmp_path)):
        plain, stream = ask(tmp_path, model, {}, {"stream": True})
        assert (plain.choices[0].finish_reason, whole(stream)[2]) == (finish, finish)


def test_tool_calls_are_in_the_answer(tmp_path, vendor):
    """Plain and in the parts of a stream, with the vendor's ids; an answer without text has null."""
    vendor.control(calls=[CALL, {**CALL, "id": "call_8"}])
    plain, stream = ask(tmp_path, llm(tmp_path), {"tools": [TOOL]}, {"tools": [TOOL], "stream": True})
    choice = plain.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    made = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls
    ]
    assert made == [("call_7", "add", {"a": 1}), ("call_8", "add", {"a": 1})]
    text, calls, finish = whole(stream)
    assert (text, finish) == ("", "tool_calls")
    assert [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls] == made


def test_the_whole_chat_reaches_the_vendor(tmp_path, vendor):
    """The package's system prompt first, then each message as it was sent; the last question in the prompt."""
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    messages = [
        {"role": "system", "content": "You are Ada."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "second {{question}}"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_7", "content": "2"},
    ]
    (answer,) = ask(tmp_path, llm(tmp_path), {"messages": messages, "tools": [TOOL]})
    assert answer.choices[0].message.content == "Answer to: 2"
    sent = vendor.stats["bodies"][0]["messages"]
    assert [message["role"] for message in sent] == ["system", *(message["role"] for message in messages)]
    assert [sent[at]["content"] for at in (0, 1, 2, 3)] == ["Answer briefly.", "You are Ada.", "first", "one"]
    assert sent[4]["content"] == [{"type": "text", "text": "Q: second {{question}}"}, image]
    call = sent[5]["tool_calls"][0]
    assert (call["id"], json.loads(call["function"]["arguments"])) == ("call_7", {"a": 1})
    assert (sent[6]["tool_call_id"], sent[6]["content"]) == ("call_7", "2")


def test_anthropic_gets_the_same_in_its_own_form(tmp_path, vendor):
    """Tools, choices and limits are translated, and so are tool calls and the stop reason of the answer."""
    vendor.control(calls=[CALL], finish="max_tokens")
    messages = [{"role": "system", "content": "You are Ada."}, *HI]
    options = {
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 50,
        "stop": "END",
        "temperature": 0.5,
    }
    model = llm(tmp_path, "anthropic:claude-test")
    answer, penalty, json_object, late = ask(
        tmp_path,
        model,
        {"messages": messages, **options},
        {"seed": 1},
        {"response_format": {"type": "json_object"}},
        {"messages": [*HI, {"role": "system", "content": "x"}, *HI]},
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "length" and choice.message.content == "Claude answers: Q: hi"
    assert choice.message.tool_calls[0].function.name == "add"
    (body,) = vendor.stats["bodies"]
    assert body["tools"][0]["name"] == "add" and body["tool_choice"]["type"] == "any"
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"]) == (50, ["END"], 0.5)
    assert "Answer briefly." in str(body["system"]) and "You are Ada." in str(body["system"])
    for error, says in ((penalty, "'seed'"), (json_object, "json_schema"), (late, "Message")):
        assert error.status_code == 422 and says in str(error)


def test_the_model_without_a_key_uses_what_it_can(tmp_path):
    """max_tokens in words, stop, and tools; the rest is refused by name."""
    model = llm(tmp_path, "fake:extract", "user: '{{question}}'\n")
    passages = [
        {
            "role": "user",
            "content": "[1] a\nParis is the capital of France.\n\nQuestion: What is the capital?",
        }
    ]
    tool = [{"role": "user", "content": "Question: add a=1"}]
    short, stopped, called, not_called, refused = ask(
        tmp_path,
        model,
        {"messages": passages, "max_tokens": 2},
        {"messages": passages, "stop": [" capital"], "stream": True},
        {"messages": tool, "tools": [TOOL]},
        {"messages": tool, "tools": [TOOL], "tool_choice": "none"},
        {"temperature": 0.5},
    )
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("Paris is", "length")
    assert whole(stopped) == ("Paris is the", [], "stop")
    assert called.choices[0].message.tool_calls[0].function.arguments == '{"a": 1}'
    assert not_called.choices[0].message.tool_calls is None
    assert refused.status_code == 422 and "'temperature'" in str(refused)


def test_a_thread_with_the_whole_history_does_not_double_turns(tmp_path, vendor):
    """A conversation that has begun has its turns; a new one takes the history that the caller sends."""
    earlier = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "one"}]
    thread = {"extra_body": {"thread_id": "t1"}}
    model = graph(tmp_path, threads=True)
    ask(
        tmp_path,
        model,
        {"messages": HI, **thread},
        {"messages": [*HI, {"role": "assistant", "content": "Answer to: hi (turn 1)"}, *HI], **thread},
        {"messages": [*earlier, *HI], "extra_body": {"thread_id": "t2"}},
        {"messages": [*earlier, *HI]},
    )
    sent = [[message["content"] for message in body["messages"]] for body in vendor.stats["bodies"]]
    assert sent[1] == ["hi", "Answer to: hi", "hi"]
    assert sent[2] == sent[3] == ["first", "one", "hi"]


def test_a_graph_gets_what_its_state_has_a_place_for(tmp_path, vendor):
    """Options and history under their names; without a place, both are refused by name."""
    with_options = GRAPH.replace("    answer: str\n", "    answer: str\n    temperature: float\n").replace(
        "(turn {len(state['turns'])})", "({state.get('temperature')})"
    )
    without = GRAPH.replace("messages: Annotated[list[Any], add_messages]", "other: str")
    answer, refused = ask(tmp_path, graph(tmp_path, with_options), {"temperature": 0.5}, {"max_tokens": 5})
    assert answer.choices[0].message.content == "Answer to: hi (0.5)"
    assert refused.status_code == 422 and "'max_tokens'" in str(refused) and "temperature" in str(refused)
    (refused,) = ask(
        tmp_path, graph(tmp_path, without), {"messages": [{"role": "system", "content": "x"}, *HI]}
    )
    assert refused.status_code == 422 and "no 'messages'" in str(refused)


def test_the_model_is_found_by_its_name(tmp_path, vendor):
    """models.retrieve and models.list; another name is not found."""
    import openai

    async def test(client: "openai.AsyncOpenAI") -> None:
        assert (await client.models.retrieve("toy")).id == "toy"
        assert [model.id async for model in client.models.list()] == ["toy"]
        with pytest.raises(openai.NotFoundError, match="'other' is not served here"):
            await client.models.retrieve("other")

    with_client(tmp_path, llm(tmp_path), test)
