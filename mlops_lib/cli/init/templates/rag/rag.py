"""Answers from the Markdown files in docs/: find the sections that fit,
and let the model answer from them."""

import re
from pathlib import Path
from typing import TypedDict

import bm25s
from langgraph.graph import END, START, StateGraph

from mlops_lib.llm.words import words
from mlops_lib.wrappers.langgraph import GraphPackage
from mlops_lib.wrappers.llm import fill


class State(TypedDict, total=False):
    """The state of the graph.

    Attributes:
        contexts: Sections, best first; each begins with the name of its file.
    """

    question: str
    contexts: list[str]
    answer: str


def graph(package: GraphPackage) -> StateGraph:
    """retrieve -> answer"""
    sections = Sections(package.folder / "docs")
    model = package.chat_model(package.config["model"], temperature=0)

    def retrieve(state: State) -> State:
        return {"contexts": sections.search(state["question"], package.config["passages"])}

    async def answer(state: State) -> State:
        values = {"passages": "\n\n".join(state["contexts"]), "question": state["question"]}
        asked = [("system", package.prompts["system"]), ("user", fill(package.prompts["question"], values))]
        return {"answer": str((await model.ainvoke(asked)).text)}

    found = StateGraph(State)
    found.add_node("retrieve", retrieve)
    found.add_node("answer", answer)
    found.add_edge(START, "retrieve")
    found.add_edge("retrieve", "answer")
    found.add_edge("answer", END)
    return found


class Sections:
    """The sections of Markdown files, ranked by BM25."""

    def __init__(self, folder: Path) -> None:
        self.texts: list[str] = []
        for file in sorted(folder.rglob("*.md")):
            parts = re.split(r"^#+ +(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            for heading, body in zip(["", *parts[1::2]], parts[::2], strict=True):
                if body.strip():
                    self.texts.append(f"[{file.name}] {heading}\n{body.strip()}")
        if not self.texts:
            raise ValueError(f"{folder} has no Markdown file with text")
        self.index = bm25s.BM25()
        self.index.index([words(text) for text in self.texts], show_progress=False)

    def search(self, question: str, top: int) -> list[str]:
        """The `top` best sections, best first."""
        places, _ = self.index.retrieve([words(question)], k=min(top, len(self.texts)), show_progress=False)
        return [self.texts[place] for place in places[0]]
