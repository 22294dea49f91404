"""What a graph did is part of a case: nodes, messages, tool calls, steps; in any form of graph, and in a replay."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError, EvaluationError
from mlops_lib.evaluation.tasks.text import Text
from tests.support.llm_fixtures import Vendor

GRAPH = '''
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode


class State(MessagesState):
    question: str
    answer: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a == 13:
        raise ValueError("unlucky")
    return a + b


def build(package):
    model = package.chat_model(package.config["model"]).bind_tools([add])

    async def ask(state):
        asked = state["messages"] or [HumanMessage(state["question"])]
        return {"messages": [*asked[:1], await model.ainvoke(asked)]}

    def say(state):
        return {"answer": str(state["messages"][-1].text)}

    inner = StateGraph(State)
    inner.add_node("ask", ask)
    inner.add_node("tools", ToolNode([add], handle_tool_errors=False))
    inner.add_edge(START, "ask")
    inner.add_conditional_edges("ask", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    inner.add_edge("tools", "ask")
    graph = StateGraph(State)
    graph.add_node("agent", inner.compile())
    graph.add_node("say", say)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "say")
    graph.add_edge("say", END)
    return graph
'''
ROWS = [
    {"id": "1", "question": "add a=1 b=2", "reference": "The tool says: 3", "expected_tools": [{"name": "add", "args": {"a": 1, "b": 2}}]},
    {"id": "2", "question": "add a=2 b=2", "reference": "The tool says: 4", "expected_tools": ["subtract"]},
    {"id": "3", "question": "add a=13 b=2", "reference": "none", "expected_tools": ["add"]},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Text, "figures", lambda *_: {})


@pytest.fixture
def agent(llm_project: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a project of an agent with a tool, and the golden rows above; returns its config file."""

    def make(**evaluation: object) -> Path:
        folder = tmp_path / "graph"
        folder.mkdir(exist_ok=True)
        (folder / "langgraph.py").write_text(GRAPH)
        (folder / "prompts.yaml").write_text("unused: '-'\n")
        (folder / "config.json").write_text(json.dumps({"model": "fake:extract"}))
        (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
        chosen = {
            "metrics": ["exact_match", "steps"],
            "metric": "tool_calls_exact_order",
            "min_coverage": 0.5,
        }
        return llm_project(
            model={"wrapper": "langgraph", "implementation": "graph", "params": {}},
            data={"source": "all.jsonl", "test_fraction": 1.0, "reference_columns": ["expected_tools"]},
            evaluation=chosen | evaluation,
        )

    return make


@pytest.mark.slow
def test_an_agents_work_is_judged_and_shown(agent: Callable[..., Path]) -> None:
    """Nodes of subgraphs, calls with arguments and a tool that failed are in the case, the table and the replay."""
    settings = config.load(agent())
    data = loaders.from_settings(settings)
    model = wrappers.from_settings(settings)
    model.train(data, settings)
    report = model.evaluate(data, settings)
    rows = report.per_row
    assert list(rows["tool_calls_exact_order"].fillna(-1)) == [1.0, 0.0, -1.0]
    assert rows["path"][0] == ["agent", "ask", "tools", "ask", "say"] and rows["steps"][0] == 5.0
    assert rows["tool_calls"][0] == [{"name": "add", "args": {"a": 1, "b": 2}}]
    assert [message["role"] for message in rows["messages"][0]] == ["assistant", "tool", "assistant"]
    shown = [title for title in report.tables if title.startswith("Row ")]
    assert [title[:5] for title in shown] == ["Row 2", "Row 1"]  # the right one is not shown
    lines = report.tables[shown[0]]["what"].tolist()
    assert "calls add(a=13, b=2)" in lines and "failed: ValueError: unlucky" in lines
    assert report.tables[shown[1]]["what"].tolist()[-2:] == ['["subtract"]', "The tool says: 4"]
    replayed = settings.evaluation.model_copy(update={"replay": model.run_id})
    again = model.evaluate(data, settings.model_copy(update={"evaluation": replayed}))
    assert again.per_row.equals(rows)


@pytest.mark.slow
def test_a_column_that_a_metric_needs_is_asked_for_before_work(
    agent: Callable[..., Path], tmp_path: Path
) -> None:
    """The error names metric, column and setting; a column without a value in any row ends with cause and count."""
    file = agent()
    bare = [{name: row[name] for name in ("id", "question", "reference")} for row in ROWS]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, bare)))
    settings = config.load(file, {"data.reference_columns": []})
    data = loaders.from_settings(settings)
    with pytest.raises(
        DataError,
        match="tool_calls_exact_order needs the column 'expected_tools'.*has: none.*out of evaluation",
    ):
        declared.write(settings, data, tmp_path / "data")
    with pytest.raises(DataError, match="needs the column 'expected_tools'"):
        wrappers.from_settings(settings).evaluate(data, settings)
    empty = "\n".join(json.dumps({**row, "expected_tools": None}) for row in ROWS[:2])
    (tmp_path / "all.jsonl").write_text(empty)
    settings = config.load(file)
    data = loaders.from_settings(settings)
    model = wrappers.from_settings(settings)
    model.train(data, settings)
    with pytest.raises(EvaluationError, match="2 of 2 rows failed: the row has no expected_tools"):
        model.evaluate(data, settings)


@pytest.mark.slow
def test_ragas_judges_the_messages(vendor: Vendor, agent: Callable[..., Path], tmp_path: Path) -> None:
    """Tool calls are compared by ragas without a judge; topics and goal need one, and a column of topics."""
    rows = [{**row, "reference_topics": ["sums"], "expected_tools": [{"name": "add", "args": {"a": i + 1, "b": 2}}]} for i, row in enumerate(ROWS[:2])]  # fmt: skip
    asked = ["tool_call_accuracy", "topic_adherence", "agent_goal_accuracy", "answer_correctness"]
    file = agent(metrics=asked, metric="tool_call_accuracy", judge="openai:judge", embeddings="openai:e")
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = config.load(file, {"data.reference_columns": ["expected_tools", "reference_topics"]})
    data = loaders.from_settings(settings)
    model = wrappers.from_settings(settings)
    model.train(data, settings)
    report = model.evaluate(data, settings)
    assert list(report.per_row["tool_call_accuracy"]) == [1.0, 1.0]
    assert all(report.metrics[name].scored == 2 for name in asked), report.per_row["error"].tolist()
    assert "judge" not in report.notes["tool_call_accuracy"] and "judge" in report.notes["topic_adherence"]
    texts = [str(body["messages"]) for body in vendor.stats["bodies"] if "messages" in body]
    assert any("add a=1 b=2" in text and "The tool says: 3" in text for text in texts)
