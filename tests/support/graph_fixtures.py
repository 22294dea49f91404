"""Fixture: graphs in projects of their own, packaged and opened without MLflow."""

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_lib import config
from mlops_lib.settings import LlmSettings
from mlops_lib.wrappers.langgraph import LangGraphWrapper
from tests.support.carrying import write_modules

Opened = Callable[..., LangGraphWrapper]
#: The beginning of a module with a graph.
HEAD = """
from typing import Annotated, TypedDict
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


def one_node(state, node, **schemas):
    graph = StateGraph(state, **schemas)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph


def echo(state):
    return {"messages": [AIMessage("You said: " + state["messages"][-1].text)]}
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Packages the graph of a project, opens the package, and checks the columns; nothing is logged."""

    def make(
        files: dict[str, str],
        /,
        implementation: str = "my_agent.py:graph",
        columns: tuple[str, ...] = ("question",),
        prices: Any = None,
        **params: Any,
    ) -> LangGraphWrapper:
        project = tmp_path / "project"
        write_modules(project, files)
        content = {
            "data": {"source": "golden", "label": "reference", "features": list(columns)},
            "model": {"wrapper": "langgraph", "implementation": implementation, "params": params},
            "evaluation": {"task": "text", "metric": "exact_match", "threshold": 0.5},
        }
        (project / "config.yaml").write_text(yaml.safe_dump(content))
        folder = Path(tempfile.mkdtemp(prefix="package", dir=tmp_path))
        model = LangGraphWrapper()
        monkeypatch.chdir(tmp_path)
        model.package(folder, config.load(project / "config.yaml"))
        for file in sorted(project.rglob("*"), reverse=True):  # a service does not have the project
            file.rmdir() if file.is_dir() else file.unlink()
        importlib.invalidate_caches()
        model.ready(folder, LlmSettings(prices=prices or {}))
        model.check_columns(columns)
        return model

    return make
