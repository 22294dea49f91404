"""LangGraph graphs: packaged, evaluated and served like any other model.

A graph is a folder with ``langgraph.py``, ``prompts.yaml`` and ``config.json``. ``langgraph.py`` has a
function ``build(package)`` that takes a `GraphPackage` and returns a StateGraph that is not compiled yet. The
wrapper reads these keys of ``config.json``: ``output`` and ``contexts`` (state keys of answer and passages),
``threads`` (whether conversations are kept) and ``answer_nodes`` (nodes whose tokens are the answer). Other
keys are for the graph.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError, ModelError, TrainingError
from mlops_lib.llm import chat
from mlops_lib.llm.generation import Generation
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers import prompts
from mlops_lib.wrappers.graph_code import GraphPackage, build_graph
from mlops_lib.wrappers.graph_threads import RESUME, THREAD, Threads
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import TextModelWrapper
from mlops_lib.wrappers.text_package import copy_into, read_json

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["GraphPackage", "LangGraphWrapper"]

FILES = ("langgraph.py", "prompts.yaml", "config.json")


class LangGraphWrapper(TextModelWrapper):
    """The graph in the folder ``model.implementation``.

    ``model.params``, both optional: ``files`` are more files and folders to package, name -> path; ``config``
    replaces keys of config.json.
    """

    name = "langgraph"
    has_epochs = False

    def package(self, folder: Path, config: Settings) -> None:
        source = config.path(config.model.implementation)
        params = dict(config.model.params)
        files, changes = params.pop("files", {}), params.pop("config", {})
        if params:
            raise TrainingError(f"model.params has {', '.join(params)}; a graph takes: files, config.")
        for name in FILES:
            if not (source / name).is_file():
                raise TrainingError(f"{source} has no {name}. A graph is a folder with {', '.join(FILES)}.")
            copy_into(folder, name, source / name)
        for name, path in files.items():
            copy_into(folder, name, config.path(path))
        merged = read_json(folder / "config.json") | changes
        (folder / "config.json").write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")

    def ready(self, package: Path, llm: LlmSettings) -> None:
        def chat_model(name: str, **params: Any) -> "BaseChatModel":
            return chat.chat_model(name, llm, **params)

        self._config = read_json(package / "config.json")
        keeps_threads = bool(self._config.get("threads"))
        self.extra_columns = (THREAD, RESUME) if keeps_threads else ()
        texts = prompts.read(package / "prompts.yaml")
        self._graph = build_graph(GraphPackage(self._config, texts, package, chat_model))
        self._threads = Threads(self._graph, keeps_threads, self.text_column)

    def attach(self, settings: Settings) -> None:
        """Store conversations in ``threads.db`` of the work folder, so that they outlive this process."""
        folder = settings.path(settings.pipeline.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._threads.store_in(folder / "threads.db")

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        turn = self._threads.turn(row)
        async with turn.lock:
            state = await turn.graph.ainvoke(turn.payload, turn.options)
        return self._generation(row, state)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        turn = self._threads.turn(row)
        answer_nodes = self._config.get("answer_nodes")
        state: dict[str, Any] = {}
        interrupts: Any = None
        async with turn.lock:
            data: Any
            async for mode, data in turn.graph.astream(
                turn.payload, turn.options, stream_mode=["messages", "updates", "values"]
            ):
                if mode == "values":
                    state = data
                elif mode == "messages":
                    message, about = data
                    node = about.get("langgraph_node", "")
                    is_chunk = type(message).__name__ == "AIMessageChunk"
                    if is_chunk and message.text and (not answer_nodes or node in answer_nodes):
                        yield StreamEvent("token", str(message.text))
                elif "__interrupt__" in data:
                    interrupts = data["__interrupt__"]
                else:
                    yield StreamEvent("update", data)
        if interrupts:
            state = {**state, "__interrupt__": interrupts}
        output = self._generation(row, state).output
        yield StreamEvent("interrupt" if interrupts else "prediction", output)

    def keeps_state(self, row: Any) -> bool:
        return row.get(THREAD) is not None

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        row = super().chat_row(messages, options)
        if "messages" in self._graph.channels and len(messages) > 1:
            row["messages"] = [dict(message) for message in messages[:-1]]
        return row

    def _generation(self, row: Mapping[str, Any], state: dict[str, Any]) -> Generation:
        """The answer in the graph's last state: the output, or the question of an interrupt."""
        if interrupts := state.get("__interrupt__"):
            asked = interrupts[0].value
            if row.get(THREAD) is None:
                raise InputError(
                    f"The graph stopped to ask {asked!r}. Send a {THREAD!r} with the question, and then the "
                    f"answer as {RESUME!r}."
                )
            return Generation(row, {"interrupt": asked, THREAD: row[THREAD]})
        key = self._config.get("output", "answer")
        if key not in state:
            raise ModelError(f"The graph ended without {key!r} in its state. It has: {', '.join(state)}.")
        contexts = state.get(self._config.get("contexts", "contexts")) or ()
        return Generation(row, state[key], tuple(map(str, contexts)))
