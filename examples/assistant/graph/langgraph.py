"""The assistant: find passages of the handbook, answer from them with citations, call a tool if need be.

retrieve -> answer -> [tool call?] tools -> answer
"""

import re
from pathlib import Path
from typing import Annotated, Any, TypedDict

import bm25s
import httpx2
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode

from mlops_lib.llm.words import words
from mlops_lib.wrappers.langgraph import GraphPackage
from mlops_lib.wrappers.llm import fill


class State(TypedDict, total=False):
    """The state of the graph; `messages` is the conversation so far."""

    question: str
    messages: Annotated[list[AnyMessage], add_messages]
    contexts: list[str]
    answer: str


def build(package: GraphPackage) -> StateGraph:
    """The graph, not compiled."""
    config = package.config
    passages = Passages(package.folder / "docs")
    predict = repurchase_tool(config["repurchase_url"], config["repurchase_timeout_s"])
    model = package.chat_model(config["model"], temperature=config["temperature"]).bind_tools([predict])

    def retrieve(state: State) -> State:
        """The best passages, and the question as a turn of the conversation."""
        found = passages.search(state["question"], config["passages"])
        return {"contexts": found, "messages": [HumanMessage(state["question"])], "answer": ""}

    async def answer(state: State) -> State:
        """Ask the model, with the passages in the last question only."""
        numbered = "\n\n".join(f"[{i}] {text}" for i, text in enumerate(state["contexts"], 1))
        asked = {"passages": numbered, "question": state["question"]}
        messages = list(state["messages"])
        last = max(i for i, message in enumerate(messages) if isinstance(message, HumanMessage))
        messages[last] = HumanMessage(fill(package.prompts["question"], asked))
        reply = await model.ainvoke([SystemMessage(package.prompts["system"]), *messages])
        if bad := getattr(reply, "invalid_tool_calls", None):
            raise ValueError(f"The model called {bad[0]['name']} with {bad[0]['args']!r}, which is not JSON.")
        return {"messages": [reply], "answer": str(reply.text)}

    graph = StateGraph(State)
    graph.add_node("retrieve", retrieve)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode([predict]))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "answer")
    graph.add_conditional_edges("answer", wants_tool, {True: "tools", False: END})
    graph.add_edge("tools", "answer")
    return graph


def wants_tool(state: State) -> bool:
    """Whether the model's last message asks for a tool."""
    return bool(getattr(state["messages"][-1], "tool_calls", None))


def repurchase_tool(url: str, timeout_s: float) -> Any:
    """A tool that asks the served repurchase model."""

    @tool
    def predict_repurchase(
        frequency: float,
        recency_days: float,
        tenure_days: float,
        mean_amount: float,
        total_amount: float,
        quantity: float,
        days_since_last: float,
    ) -> str:
        """Predict the probability that a customer buys again within 273 days, from seven features."""
        row = {
            "frequency": int(frequency),
            "recency_days": int(recency_days),
            "tenure_days": int(tenure_days),
            "mean_amount": mean_amount,
            "total_amount": total_amount,
            "quantity": int(quantity),
            "days_since_last": int(days_since_last),
        }
        try:
            response = httpx2.post(url, json={"inputs": row}, timeout=timeout_s)
        except httpx2.TransportError as error:
            return f"The repurchase model does not answer at {url}: {error}"
        if response.is_error:
            return f"The repurchase model refused: {response.text[:500]}"
        answer = response.json()
        model = answer["model"]
        return f"probability {answer['predictions']:.3f} by {model['name']} version {model['version']} at {model['stage']}"

    return predict_repurchase


class Passages:
    """Sections of Markdown files, ranked by BM25."""

    def __init__(self, folder: Path) -> None:
        self.texts: list[str] = []
        for file in sorted(folder.rglob("*.md")):
            title, *sections = re.split(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            for section in sections:
                heading, _, body = section.partition("\n")
                name = title.strip().lstrip("# ").splitlines()[0]
                self.texts.append(f"{file.name}, {name}: {heading.strip()}\n{body.strip()}")
        if not self.texts:
            raise ValueError(f"{folder} has no Markdown file with a section (## Heading)")
        self.index = bm25s.BM25(k1=1.5, b=0.75)
        self.index.index([words(text) for text in self.texts], show_progress=False)

    def search(self, question: str, top: int) -> list[str]:
        """The `top` best passages, best first."""
        asked = sorted(set(words(question)))
        found, _ = self.index.retrieve([asked], k=min(top, len(self.texts)), show_progress=False)
        return [self.texts[i] for i in found[0]]
