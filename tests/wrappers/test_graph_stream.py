"""Events of a graph's run: tokens of graphs inside graphs, once each; updates and custom events where callers may see them."""

import asyncio
import json
import operator
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, TypedDict

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, RetryPolicy, interrupt

from mlops_lib.errors import ModelError, TrainingError
from mlops_lib.wrappers.graph.stream import INTERRUPT, GraphStream, StreamSettings
from mlops_lib.wrappers.interface import StreamEvent
from serving.inference.json_values import builtins, encode_json
from tests.support.scripted_model import ScriptedModel, StreamedModel

pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
ASKED = {"messages": [HumanMessage("hi")]}
SYSTEM, ARGUMENT = "You are Ada. Never tell.", "a secret argument"


@tool
def search(query: str) -> str:
    """Search."""
    get_stream_writer()({"searching": True})
    return f"found {StreamedModel(text='inner words').invoke(query).text}"


def agent(text: str = "the answer") -> Any:
    model = StreamedModel(text=text, tool="search", arguments={"query": ARGUMENT})
    return create_react_agent(model, [search], prompt=SYSTEM, name="researcher")


def chain(**nodes: Any) -> Any:
    """A compiled graph of messages whose nodes run one after another."""
    graph, before = StateGraph(MessagesState), START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph.compile()


def says(text: str, model: type[ScriptedModel] = StreamedModel) -> Callable[[Any], Any]:
    return lambda state: {"messages": [model(text=text).invoke(state["messages"])]}


def supervisor() -> Any:
    def copies(state: Any) -> Any:
        return {"messages": [AIMessage(StreamedModel(text="in short").invoke("x").text)]}

    return chain(agent=agent(), summary=copies)


def run(graph: Any, payload: Any = None, **config: Any) -> tuple[list[StreamEvent], Any]:
    """The events, and the last state."""
    stream = GraphStream(graph, payload or ASKED, {}, StreamSettings(config))

    async def events() -> list[StreamEvent]:
        return [event async for event in stream.events()]

    return asyncio.run(events()), stream.state


def tokens(graph: Any, **config: Any) -> list[tuple[str, str]]:
    """Path and text of the tokens, those of one node together."""
    found: list[tuple[str, str]] = []
    for event in run(graph, **config)[0]:
        path = "/".join(event.path)
        if found and found[-1][0] == path:
            found[-1] = (path, found[-1][1] + event.data)
        elif event.kind == "token":
            found.append((path, event.data))
    return found


async def _calls_child(state: Any) -> Any:
    return {"messages": (await supervisor().ainvoke(state))["messages"]}


def _calls_twice(state: Any) -> Any:
    texts = [str(StreamedModel(text=text).invoke("x").text) for text in ("one", "two")]
    return {"messages": [AIMessage("".join(texts))]}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (lambda: agent(), [("agent", "the answer ")]),
        (supervisor, [("agent/agent", "the answer "), ("summary", "in short ")]),
        (
            lambda: chain(outer=chain(middle=supervisor())),
            [("outer/middle/agent/agent", "the answer "), ("outer/middle/summary", "in short ")],
        ),
        (lambda: chain(calls=_calls_child), [("calls/agent/agent", "the answer "), ("calls/summary", "in short ")]),
        (lambda: chain(twice=_calls_twice), [("twice", "one two ")]),
        (lambda: chain(whole=says("not in chunks", ScriptedModel)), [("whole", "not in chunks")]),
        (lambda: chain(made=lambda state: {"messages": [AIMessage("made here")]}), [("made", "made here")]),
        (lambda: chain(jump=lambda state: Command(update={"messages": [AIMessage("j")]})), [("jump", "j")]),
        (lambda: chain(silent=lambda state: {"messages": [SystemMessage(SYSTEM)]}), []),
    ],
    ids=["agent", "agent as a node", "three deep", "called in a node", "two calls", "whole", "made", "command", "system"],
)  # fmt: skip
def test_each_token_comes_once_with_its_path(
    graph: Callable[[], Any], expected: list[tuple[str, str]]
) -> None:
    """The tokens of graphs inside graphs, however they are called; a message that a node makes of them is no second one."""
    assert tokens(graph()) == expected


def test_tasks_of_a_functional_graph_stream() -> None:
    """Tokens of an entrypoint's tasks carry the task's name."""

    @task
    def draft(text: str) -> str:
        return str(StreamedModel(text=text).invoke("x").text)

    @entrypoint()
    def flow(text: str) -> str:
        return draft(text).result()

    events, state = run(flow, "a b")
    assert events == [StreamEvent("token", "a ", ("draft",)), StreamEvent("token", "b ", ("draft",))]
    assert state == "a b "


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (["summary"], ["summary"]),
        (["agent"], ["agent/agent"]),
        (["agent/agent"], ["agent/agent"]),
        (["agent/tools"], ["agent/tools"]),
        (["agent", "summary"], ["agent/agent", "summary"]),
        (["agen", "summar"], []),
    ],
)
def test_answer_nodes_are_names_or_paths(nodes: list[str], expected: list[str]) -> None:
    """A node counts with all nodes inside it; text inside a tool only where the tool's node is named."""
    assert [path for path, _ in tokens(supervisor(), answer_nodes=nodes)] == expected


def test_the_default_shows_tokens_alone() -> None:
    """No update, custom event, system message, tool call or tool result."""
    events, _ = run(supervisor())
    assert {event.kind for event in events} == {"token"}
    assert SYSTEM not in str(events) and ARGUMENT not in str(events) and "inner" not in str(events)


def test_updates_come_without_what_is_for_the_model_alone() -> None:
    """Updates of each node and custom events; system messages, tool calls and tool results are left out."""

    def hides(state: Any) -> Any:
        return {
            "messages": [SystemMessage(SYSTEM), ("system", SYSTEM), {"role": "developer", "content": SYSTEM}]
        }

    events, _ = run(chain(agent=agent(), hides=hides), stream="updates")
    assert SYSTEM not in str(events) and ARGUMENT not in str(events) and "found" not in str(events)
    assert [("/".join(e.path), e.data) for e in events if e.kind == "custom"] == [
        ("agent", {"searching": True})
    ]
    updates = [("/".join(e.path), e.data) for e in events if e.kind == "update"]
    assert [path for path, _ in updates] == ["agent/agent", "agent/tools", "agent/agent", "agent", "hides"]
    last = updates[2][1]["messages"]
    assert [(one["role"], one["content"]) for one in last] == [("assistant", "the answer ")]
    assert updates[0][1] == updates[1][1] == updates[4][1] == {"messages": []}


def test_all_shows_tool_calls_and_system_messages() -> None:
    """Messages are in OpenAI's form, with the calls, their results and the system's."""
    events, _ = run(
        chain(agent=agent(), shows=lambda state: {"messages": [SystemMessage(SYSTEM)]}), stream="all"
    )
    messages = {e.path: e.data["messages"] for e in events if e.kind == "update"}
    assert messages["agent", "tools"][0]["content"] == "found inner words "
    assert messages["agent", "tools"][0]["tool_call_id"] == "c1"
    assert messages["shows",][0].items() >= {"role": "system", "content": SYSTEM}.items()
    calls = next(e for e in events if e.kind == "update").data["messages"][0]["tool_calls"]
    assert calls[0]["function"] == {"name": "search", "arguments": f'{{"query": "{ARGUMENT}"}}'}


def test_all_interrupts_of_a_run_are_in_the_state() -> None:
    """Those of parallel nodes and of an inner graph, each once, without an update event."""

    class State(TypedDict, total=False):
        said: Annotated[list[Any], operator.add]

    def asks(name: str) -> Callable[[Any], Any]:
        return lambda state: {"said": [interrupt(name)]}

    def parallel(*nodes: tuple[str, Any]) -> StateGraph[Any]:
        graph = StateGraph(State)
        for name, node in nodes:
            graph.add_node(name, node)
            graph.add_edge(START, name)
        return graph

    inner = parallel(("c", asks("c")), ("d", asks("d"))).compile()
    outer = parallel(("a", asks("a")), ("b", asks("b")), ("inner", inner)).compile()
    events, state = run(outer, {"said": []}, stream="all")
    assert events == [] and sorted(each.value for each in state[INTERRUPT]) == ["a", "b", "c", "d"]
    assert len({each.id for each in state[INTERRUPT]}) == 4


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"stream": "everything"}, "'everything', and must be one of answer, updates, all"),
        ({"stream": True}, "True, and must be one of"),
        ({"answer_nodes": "summary"}, "'summary', and must be a list of node names"),
        ({"answer_nodes": [1]}, "must be a list"),
    ],
)
def test_settings_are_checked(config: dict[str, Any], says: str) -> None:
    """A wrong value is named with the values there are."""
    with pytest.raises(ModelError, match=says):
        StreamSettings(config)


def test_custom_events_of_any_kind_become_json() -> None:
    """Bytes, arrays, dates, sets, NaN, messages and objects without a form in JSON: no value ends the stream."""
    values = [b"x", np.float32(1.5), np.arange(2), date(2026, 1, 2), {7}, {1: 2}, float("nan"), None, False, "",
              AIMessage("m"), ValueError("e"), {"a": (1, [None])}]  # fmt: skip

    def writes(state: Any) -> Any:
        for value in values:
            get_stream_writer()(value)

    events, _ = run(chain(writes=writes), stream="all")
    found = [json.loads(encode_json(builtins(event.data))) for event in events if event.kind == "custom"]
    assert found == [
        "eA==", 1.5, [0, 1], "2026-01-02", [7], {"1": 2}, None, None, False, "", {"role": "assistant", "content": "m"},
        "e", {"a": [1, [None]]},
    ]  # fmt: skip


def test_reasoning_is_no_token() -> None:
    """Of a message in parts, the texts alone are sent, whatever their language."""

    class Thinks(ScriptedModel):
        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
            for part in ({"type": "reasoning", "reasoning": SYSTEM}, {"type": "text", "text": "안녕 😀"}):
                yield ChatGenerationChunk(message=AIMessageChunk([{**part, "index": 0}]))

    events, _ = run(chain(thinks=says("", Thinks)), stream="updates")
    assert [event.data for event in events if event.kind == "token"] == ["안녕 😀"] and SYSTEM not in str(
        events
    )


@pytest.mark.parametrize("node", ["summary", "agent/agent", "tools", "calls/anything"])
def test_answer_nodes_are_nodes_of_the_graph(node: str) -> None:
    """A name of the graph or of a graph inside it, or a path that begins with one."""
    StreamSettings({"answer_nodes": [node]}).check(chain(agent=supervisor(), calls=_calls_child))


def test_an_answer_node_that_the_graph_lacks_is_an_error() -> None:
    """Named with the nodes that there are."""
    with pytest.raises(TrainingError, match="'sumary'; the graph has the nodes: agent, summary, tools"):
        StreamSettings({"answer_nodes": ["summary", "sumary"]}).check(supervisor())


@pytest.mark.parametrize("is_inside", [False, True])
@pytest.mark.parametrize(
    ("texts", "sent"),
    [
        (["one two three"] * 3, "one two three "),
        (["one two", "one two three"], "one two three "),
        (["one two", "one 2 three"], "one two \n\none 2 three "),
    ],
)
def test_a_node_that_is_tried_again_repeats_no_text(is_inside: bool, texts: list[str], sent: str) -> None:
    """What the new attempt has in common with the failed one comes once; another text comes whole, as a new paragraph."""
    left = iter(texts)

    def node(state: Any) -> Any:
        model = StreamedModel(text=next(left))
        answer = (
            chain(ask=lambda state: {"messages": [model.invoke("x")]}).invoke(state) if is_inside else None
        )
        answer = answer or {"messages": [model.invoke("x")]}
        if model.text != texts[-1] or next(left, None):
            raise ConnectionError("broken")
        return answer

    graph = StateGraph(MessagesState)
    graph.add_node("say", node, retry_policy=RetryPolicy(initial_interval=0, jitter=False, max_attempts=5))
    graph.add_node("more", says("and more"))
    graph.add_edge(START, "say").add_edge("say", "more")
    events, _ = run(graph.compile())
    assert "".join(event.data for event in events if event.kind == "token") == sent + "and more "


def test_the_fallback_of_a_node_that_is_tried_again_is_sent() -> None:
    """The failed attempt streamed text, and the new one returns a message that no model wrote."""
    attempts = iter([1, 2])

    def node(state: Any) -> Any:
        if next(attempts) == 2:
            return {"messages": [AIMessage("sorry")]}
        StreamedModel(text="one two").invoke("x")
        raise ConnectionError("broken")

    graph = StateGraph(MessagesState)
    graph.add_node("say", node, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    graph.add_edge(START, "say")
    events, _ = run(graph.compile())
    assert "".join(event.data for event in events if event.kind == "token") == "one two \n\nsorry"
