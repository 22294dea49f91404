"""A graph to talk to, without an LLM: its questions decide what it does. Served with keys and a prediction log."""

import json
from pathlib import Path
from typing import Any

import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from mlops_lib.settings import Settings
from serving.web.api_keys import make as make_key
from tests.support.promoting import promote

QUESTIONS = (
    "What is the gate?",
    "How do I roll back a version?",
    "게이트는 무엇인가요?",
    "버전을 어떻게 되돌리나요?",
)
#: "say X" is answered with X; "tool", "team" (a tool in an inner graph), "ask", "both", "wait", "fail" do as they say; others are answered from two passages.
GRAPH = '''
import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

PASSAGES = [
    "registry.md, Registry: The gate\\nThe gate lets a version pass that is **not worse** than the one at Production.",
    "registry.md, Registry: Roll back\\n`mlops rollback MODEL` gives Production back to the version that held it before.",
]
ANSWER = """A version is registered if it passes the **gate** [1]:

1. the threshold on the metric,
2. the comparison with Production.

```bash
mlops promote assistant 3
```

| outcome | passes |
| --- | :-: |
| better | yes |
| undecided | no |

See [the documentation](https://example.org/gate) [2]."""
KOREAN = """**게이트**는 새 버전이 운영 중인 버전보다 *나쁘지 않은지* 판단합니다 [1].

- 기준값을 넘는지 확인하고,
- 운영 버전과 **같은 행**으로 비교합니다."""


class State(TypedDict, total=False):
    question: str
    messages: Annotated[list[Any], add_messages]
    contexts: list[str]
    answer: str
    replies: Annotated[list[Any], operator.add]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def said(text):
    """A message that comes in pieces."""
    return await GenericFakeChatModel(messages=iter([AIMessage(text)])).ainvoke("")


def build(package):
    def retrieve(state):
        knows = not state["question"].startswith(("say ", "tool", "team", "ask", "both", "wait", "fail"))
        return {"contexts": PASSAGES if knows else [], "messages": [HumanMessage(state["question"])]}

    async def answer(state):
        question = state["question"]
        if question == "tool" and state["messages"][-1].type == "human":
            call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "call1", "type": "tool_call"}
            return {"messages": [AIMessage("", tool_calls=[call])]}
        if question == "fail":
            raise ValueError("a failure of the graph")
        if question == "ask":
            reply = interrupt({"question": "May I delete the table?", "rows": 12})
            text = f"You replied {reply!r}."
        elif question == "tool":
            text = f"The sum is {state['messages'][-1].content}."
        elif question.startswith("say "):
            text = question.removeprefix("say ")
        else:
            text = KOREAN if any("가" <= letter <= "힣" for letter in question) else ANSWER
        reply = await said(text)
        if question.startswith("wait"):
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                Path(package.config["left"]).write_text("left")
                raise
        return {"messages": [reply], "answer": reply.content}

    calls = lambda state: bool(getattr(state["messages"][-1], "tool_calls", None))

    def agent(state):
        *_, last = messages = state["messages"]
        if last.type == "tool":
            return {"messages": [AIMessage(f"The sum is {last.content}.")]}
        call = {"name": "add", "args": {"a": 2, "b": len(messages)}, "id": "call1", "type": "tool_call"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    team = StateGraph(MessagesState)
    team.add_node("agent", agent)
    team.add_node("tools", ToolNode([add]))
    team.add_edge(START, "agent")
    team.add_conditional_edges("agent", calls, {True: "tools", False: END})
    team.add_edge("tools", "agent")

    def first(state):
        return ["left", "right"] if state["question"] == "both" else "team" if state["question"] == "team" else "answer"

    graph = StateGraph(State)
    graph.add_node("team", team.compile())
    graph.add_node("told", lambda state: {"answer": state["messages"][-1].content})
    graph.add_edge("team", "told")
    graph.add_node("retrieve", retrieve)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode([add]))
    graph.add_node("left", lambda state: {"replies": [("left", interrupt("Left?"))]})
    graph.add_node("right", lambda state: {"replies": [("right", interrupt("Right?"))]})
    graph.add_node("both", lambda state: {"answer": str(dict(state["replies"]))})
    graph.add_edge(START, "retrieve")
    graph.add_conditional_edges("retrieve", first, ["left", "right", "team", "answer"])
    graph.add_edge(["left", "right"], "both")
    graph.add_conditional_edges("answer", calls, {True: "tools", False: END})
    graph.add_edge("tools", "answer")
    return graph
'''


def make(folder: Path) -> tuple[Settings, dict[str, str]]:
    """A project whose registry has the model `talk`, version 1, at Production; its settings, and keys by name."""
    (folder / "graph").mkdir(parents=True)
    (folder / "graph/langgraph.py").write_text(GRAPH)
    (folder / "graph/prompts.yaml").write_text("prefix: ''\n")
    packaged = {"threads": True, "stream": "all", "answer_nodes": ["answer"], "left": str(folder / "left")}
    (folder / "graph/config.json").write_text(json.dumps(packaged))
    rows = [{"question": text, "reference": "x"} for text in QUESTIONS]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    keys = {name: make_key(name, admin=False) for name in ("ada", "bob")}
    (folder / "keys.yaml").write_text("\n".join(line for _, line in keys.values()))
    content: dict[str, Any] = {
        "data": {
            "source": "golden.jsonl", "label": "reference", "features": ["question"],
            "validation_fraction": 0, "test_fraction": 0.75,
        },
        "model": {"name": "talk", "wrapper": "langgraph", "implementation": "graph"},
        "evaluation": {"task": "text", "metric": "chrf", "threshold": 0},
        "llm": {"tracing": False},
        "serving": {"poll_s": 60.0, "api_keys": "keys.yaml", "prediction_log": "log"},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(folder / "config.yaml")
    made = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
    registry = Registry(settings)
    tags = {
        "mlops.metric": "rouge_l",
        "mlops.score": "0.7131",
        "mlops.gate": "passed",
        "mlops.champion": "none",
    }
    promote(registry, "talk", registry.register("talk", made.run_id, tags).version)
    return settings, {name: key for name, (key, _) in keys.items()}
