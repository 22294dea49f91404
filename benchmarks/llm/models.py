"""Make a registry with an `llm` model, the same with traces (`traced`), and a graph of one node (`graph`), at Production."""

import json
from pathlib import Path

import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Decision, Registry

GRAPH = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph

class State(TypedDict, total=False):
    question: str
    answer: str

def build(package):
    model = package.chat_model(package.config["model"])
    async def ask(state):
        return {"answer": str((await model.ainvoke(state["question"])).text)}
    return StateGraph(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
"""
#: Name -> wrapper, implementation, parameters, and whether it logs traces.
MODELS = {
    "llm": ("llm", "openai:gpt-bench", {"prompts": "prompts.yaml"}, False),
    "traced": ("llm", "openai:gpt-bench", {"prompts": "prompts.yaml"}, True),
    "graph": ("langgraph", "graph", {}, False),
}
#: Limits that no benchmark reaches, so that spending is counted.
BUDGET = {"calls": 10**12, "tokens": 10**15, "cost_usd": 1e9}


def make(folder: Path, names: list[str]) -> None:
    """Write FOLDER/NAME.yaml for each model that is missing, and log, register and promote the model."""
    (folder / "graph").mkdir(parents=True, exist_ok=True)
    (folder / "golden.jsonl").write_text('{"question": "Hi?", "reference": "x"}\n' * 9)
    (folder / "prompts.yaml").write_text("user: '{{question}}'\n")
    (folder / "graph/langgraph.py").write_text(GRAPH)
    (folder / "graph/prompts.yaml").write_text("{}\n")
    (folder / "graph/config.json").write_text(json.dumps({"model": "openai:gpt-bench"}))
    for name in names:
        wrapper, implementation, params, traced = MODELS[name]
        file = folder / f"{name}.yaml"
        if file.exists():
            continue
        content = {
            "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "benchmark"},
            "data": {"source": "golden.jsonl", "label": "reference", "features": ["question"]},
            "model": {"name": name, "wrapper": wrapper, "implementation": implementation, "params": params},
            "evaluation": {"task": "text", "metric": "exact_match", "threshold": 0.0},
            "llm": {"tracing": traced, "prices": {"openai:gpt-bench": [1.0, 2.0]}},
            "serving": {"cache": "cache", "budget": BUDGET},
        }
        file.with_suffix(".making.yaml").write_text(yaml.safe_dump(content))
        settings = config.load(file.with_suffix(".making.yaml"))
        result = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
        registry = Registry(settings)
        version = registry.register(name, result.run_id, {}).version
        registry.promote(name, version, "Production", Decision("forced", reason="a benchmark"))
        file.with_suffix(".making.yaml").rename(file)
