"""LangGraph graphs: packaging, threads, interrupts, tools, and a file whose name is the package's."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.errors import InputError, MlopsError, ModelError
from mlops_lib.wrappers.langgraph import LangGraphWrapper
from tests.support.llm_fixtures import Vendor

pytestmark = pytest.mark.slow

GRAPH = '''
"""A graph for tests: asks the model; asks a person first when the question says so; adds with a tool."""
import operator
from typing import Annotated, Any, TypedDict

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt


class State(TypedDict, total=False):
    question: str
    turns: Annotated[list[str], operator.add]
    messages: Annotated[list[Any], add_messages]
    answer: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def build(package):
    model = package.chat_model(package.config["model"]).bind_tools([add])

    def remember(state):
        return {"turns": [state["question"]], "messages": [HumanMessage(state["question"])]}

    async def ask(state):
        if state["question"].startswith("May I"):
            return {"answer": f"{state['question']} {interrupt('Allowed?')}"}
        reply = await model.ainvoke(state["messages"][-1:] if not package.config.get("history") else state["messages"])
        if reply.invalid_tool_calls:
            raise ValueError(f"a tool call that cannot be read: {reply.invalid_tool_calls[0]['args']}")
        said = package.prompts["prefix"] + str(reply.text) + f" (turn {len(state['turns'])})"
        return {"messages": [reply], "answer": said}

    def route(state):
        return bool(getattr(state["messages"][-1], "tool_calls", None))

    graph = StateGraph(State)
    graph.add_node("remember", remember)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "remember")
    graph.add_edge("remember", "ask")
    graph.add_conditional_edges("ask", route, {True: "tools", False: END})
    graph.add_edge("tools", "ask")
    return graph
'''


@pytest.fixture
def graph(llm_project: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a project whose model is the graph above; returns its config file."""

    def make(code: str = GRAPH, **settings: Any) -> Path:
        folder = tmp_path / "graph"
        folder.mkdir(exist_ok=True)
        (folder / "langgraph.py").write_text(code)
        (folder / "prompts.yaml").write_text("prefix: 'Well. '\n")
        (folder / "config.json").write_text(
            json.dumps({"model": "openai:gpt-test", "threads": True} | settings)
        )
        return llm_project(model={"wrapper": "langgraph", "implementation": "graph", "params": {}})

    return make


def ready(file: Path) -> LangGraphWrapper:
    settings = config.load(file)
    model = wrappers.from_settings(settings)
    model.train(loaders.from_settings(settings), settings)
    assert isinstance(model, LangGraphWrapper)
    return model


def test_a_graph_is_one_model_with_all_its_files(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """The logged model has graph, prompts and config, and loads without a hint."""
    model = ready(graph())
    loaded = wrappers.load(wrappers.uri_of_run(model.run_id))
    assert type(loaded).__name__ == "LangGraphWrapper"
    assert {p.name for p in (loaded.folder / "artifacts/package").iterdir()} >= {
        "langgraph.py", "prompts.yaml", "config.json"
    }  # fmt: skip
    assert loaded.predict("hi") == "Well. Answer to: hi (turn 1)"


def test_many_rows_keep_their_order(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """Rows that finish out of order come back in order, and no more than eight are in work at once."""
    model = ready(graph())
    vendor.control(delay_s=0.05)
    questions = [f"q{i}" for i in range(20)]
    assert model.predict(questions) == [f"Well. Answer to: {q} (turn 1)" for q in questions]
    assert 1 < vendor.stats["most"] <= 8


def test_the_graphs_file_does_not_hide_the_package(
    vendor: Vendor, graph: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the graph's folder first on the path, `langgraph` is still the package."""
    file = graph()
    monkeypatch.syspath_prepend(str(tmp_path / "graph"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "langgraph"]:
        monkeypatch.delitem(sys.modules, name)
    assert ready(file).predict("hi").startswith("Well.")
    assert sys.modules["langgraph"].__file__ is None


def test_a_conversation_outlives_the_process(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """Turns of one thread_id add up, also in another wrapper on the same file; other threads do not see them."""
    file = graph()
    model = ready(file)
    row = {"question": "hi", "thread_id": "t1"}
    for turn in (1, 2):
        loaded = wrappers.load(wrappers.uri_of_run(model.run_id))
        loaded.attach(config.load(file))
        assert loaded.predict(row).endswith(f"(turn {turn})")
    assert loaded.predict({**row, "thread_id": "t2"}).endswith("(turn 1)")


def test_turns_of_one_thread_do_not_overlap(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """Requests at once for one thread are answered one after the other, and none is lost."""
    model = ready(graph())
    vendor.control(delay_s=0.05)
    answers = model.predict([{"question": "hi", "thread_id": "t"}] * 4)
    assert sorted(answer[-8:] for answer in answers) == [f"(turn {n})" for n in (1, 2, 3, 4)]


def test_an_interrupt_waits_for_its_answer(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """A graph that asks a person returns the question, and goes on with `resume` on the same thread."""
    model = ready(graph())
    asked = model.predict({"question": "May I?", "thread_id": "t"})
    (open_one,) = asked.pop("interrupts")
    assert open_one["value"] == "Allowed?" and asked == {"interrupt": "Allowed?", "thread_id": "t"}
    assert model.predict({"thread_id": "t", "resume": "yes"}) == "May I? yes"


def test_an_interrupt_is_streamed(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """A stream that meets an interrupt ends with it."""
    model = ready(graph())

    async def last() -> Any:
        return [event async for event in model.astream({"question": "May I?", "thread_id": "s"})][-1]

    kind, asked, _ = asyncio.run(last())
    assert kind == "interrupt" and (asked["interrupt"], asked["thread_id"]) == ("Allowed?", "s")


def test_a_malformed_tool_call_is_an_error(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """Arguments that are not JSON are an error, not a made-up answer."""
    model = ready(graph())
    vendor.control(faults=[{"kind": "malformed_tool", "times": 1}])
    with pytest.raises(ModelError, match="cannot be read"):
        model.predict("hi")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": None}, "no 'question'"),
        ({"resume": "yes"}, "needs the .thread_id. of its conversation"),
        ({"question": "hi", "thread_id": "x" * 129}, "1 to 128"),
        ({"question": "May I?"}, "Send a 'thread_id'"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error(
    vendor: Vendor, graph: Callable[..., Path], row: dict[str, Any], says: str
) -> None:
    """No question, an answer without its thread, an endless id and an interrupt without a thread are refused."""
    with pytest.raises(InputError, match=says):
        ready(graph()).predict(row)


def test_a_graph_without_threads_refuses_a_thread_id(vendor: Vendor, graph: Callable[..., Path]) -> None:
    """A graph that keeps no conversations must not forget one in silence."""
    with pytest.raises(InputError, match="threads: true"):
        ready(graph(threads=False)).predict({"question": "hi", "thread_id": "t"})


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1", "langgraph.py has no 'build'"),
        ("def build(package): return 5", "gives a int. It must be a graph"),
        ("import nowhere_to_be_found", "cannot be run: .*nowhere_to_be_found"),
        ("def build(:", "SyntaxError"),
    ],
)
def test_a_broken_graph_stops_training(graph: Callable[..., Path], code: str, says: str) -> None:
    """A file that cannot be run or returns no graph is refused before anything is logged."""
    file = graph(code)
    with pytest.raises(MlopsError, match=says):
        ready(file)


def test_each_graph_run_leaves_a_trace(vendor: Vendor, graph: Callable[..., Path], tmp_path: Path) -> None:
    """With tracing on, MLflow has a trace with the graph's nodes."""
    file = graph()
    file.write_text(file.read_text().replace("tracing: false", "tracing: true"))
    model = ready(file)
    model.predict("hi")
    mlflow.flush_trace_async_logging()
    experiment = mlflow.get_run(model.run_id).info.experiment_id
    traces = mlflow.MlflowClient().search_traces(locations=[experiment])
    mlflow.langchain.autolog(disable=True)
    assert len(traces) == 1
    assert {"remember", "ask"} <= {span.name for span in traces[0].data.spans}
