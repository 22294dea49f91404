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
from mlops_lib.llm.completion import completion, completion_of
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.options import OPTIONS
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers import prompts
from mlops_lib.wrappers.chats import CHAT, chat_of
from mlops_lib.wrappers.graph_code import GraphPackage, build_graph
from mlops_lib.wrappers.graph_stream import INTERRUPT, GraphStream, StreamSettings
from mlops_lib.wrappers.graph_threads import HISTORY, RESUME, THREAD, Threads, Turn
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import TextModelWrapper
from mlops_lib.wrappers.text_package import copy_into, read_json

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from mlops_lib.llm.endings import Endings

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
        changes |= {name: params.pop(name) for name in ("stream", "answer_nodes") if name in params}
        if params:
            raise TrainingError(
                f"model.params has {', '.join(params)}; a graph takes: files, config, stream, answer_nodes."
            )
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
        self._streams = StreamSettings(self._config)
        keeps_threads = bool(self._config.get("threads"))
        self.extra_columns = (THREAD, RESUME) if keeps_threads else ()
        texts = prompts.read(package / "prompts.yaml")
        self._graph = build_graph(GraphPackage(self._config, texts, package, chat_model))
        self.chat_options = OPTIONS["openai"].intersection(self._graph.channels)
        self._threads = Threads(self._graph, keeps_threads, self.text_column)

    def attach(self, settings: Settings) -> None:
        """Store conversations in ``threads.db`` of the work folder, so that they outlive this process."""
        folder = settings.path(settings.pipeline.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._threads.store_in(folder / "threads.db")

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        turn, endings = self._turn(row)
        async with turn.lock:
            payload = await self._threads.payload(turn, _history(row))
            state = await turn.graph.ainvoke(payload, turn.options)
        return self._generation(row, state, endings)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        turn, endings = self._turn(row)
        async with turn.lock:
            payload = await self._threads.payload(turn, _history(row))
            run = GraphStream(turn.graph, payload, turn.options, self._streams)
            async for event in run.events():
                yield event
        output = self._generation(row, run.state, endings).output
        yield StreamEvent("interrupt" if INTERRUPT in run.state else "prediction", output)

    def _turn(self, row: Mapping[str, Any]) -> "tuple[Turn, Endings]":
        from mlops_lib.llm.endings import Endings

        turn, endings = self._threads.turn(row), Endings()
        return turn._replace(options={**turn.options, "callbacks": [endings]}), endings

    def keeps_state(self, row: Any) -> bool:
        return row.get(THREAD) is not None

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        """The row for a chat. A graph gets earlier messages and options under their names in its state."""
        row = super().chat_row(messages[-1:], options)
        history = [dict(message) for message in messages[:-1]]
        if history and HISTORY not in self._graph.channels and not self.extra_columns:
            raise InputError(f"The state of this graph has no {HISTORY!r}: send the last message alone.")
        return row | {CHAT: {"history": history}}

    def _generation(self, row: Mapping[str, Any], state: dict[str, Any], endings: "Endings") -> Generation:
        """The answer in the graph's last state: the output, or the question of an interrupt."""
        if interrupts := state.get(INTERRUPT):
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
        output, contexts = state[key], state.get(self._config.get("contexts", "contexts")) or ()
        if chat_of(row) is not None:
            if hasattr(output, "tool_calls"):  # a message of LangChain
                output = completion_of(output)
            elif isinstance(output, str) and (finish := endings.of(output)):
                output = completion(output, finish)
        return Generation(row, output, tuple(map(str, contexts)))


def _history(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a chat before the last one."""
    return (chat_of(row) or {}).get("history", [])
