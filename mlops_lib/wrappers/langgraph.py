"""LangGraph graphs: packaged, evaluated and served like any other model.

A graph is a folder with ``langgraph.py``, ``prompts.yaml`` and ``config.json``. ``langgraph.py`` has a function
``build(package)`` that takes a `GraphPackage` and returns a StateGraph that is not compiled yet. Of
``config.json`` the wrapper reads ``output`` and ``contexts`` (state keys of answer and passages), ``threads``
(whether conversations are kept) and ``answer_nodes`` (nodes whose tokens are the answer); the rest is the graph's.
"""

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from mlops_lib.errors import InputError, ModelError, TrainingError
from mlops_lib.llm import chat
from mlops_lib.llm.generation import Generation
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers import prompts
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import TextModelWrapper, copy_into, read_json

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph

FILES = ("langgraph.py", "prompts.yaml", "config.json")
#: Columns of a row beside the features, where conversations are kept.
THREAD, RESUME = "thread_id", "resume"
LONGEST_THREAD_ID = 128


@dataclass(frozen=True)
class GraphPackage:
    """What ``build`` gets.

    Attributes:
        config: config.json.
        prompts: prompts.yaml.
        folder: Where the package's other files are.
        chat_model: ``provider:model`` and parameters -> LangChain chat model with retries and accounting.
    """

    config: dict[str, Any]
    prompts: dict[str, str]
    folder: Path
    chat_model: "Callable[..., BaseChatModel]"


class LangGraphWrapper(TextModelWrapper):
    """The graph in the folder ``model.implementation``.

    ``model.params``: ``files`` are extra files and folders to package, name -> path; ``config`` replaces keys
    of config.json. Both are optional.
    """

    name = "langgraph"
    _threads_file: Path | None = None

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
        with real_langgraph():
            from langgraph.graph import StateGraph
        self._config = read_json(package / "config.json")
        self.extra_columns = (THREAD, RESUME) if self._config.get("threads") else ()
        module = _import(package / "langgraph.py")
        if not callable(build := getattr(module, "build", None)):
            raise ModelError("langgraph.py has no function build(package) that returns a StateGraph.")

        def chat_model(name: str, **params: Any) -> "BaseChatModel":
            return chat.chat_model(name, llm, **params)

        self._builder = build(
            GraphPackage(self._config, prompts.read(package / "prompts.yaml"), package, chat_model)
        )
        if not isinstance(self._builder, StateGraph):
            raise ModelError(
                f"build(package) returned a {type(self._builder).__name__}. Return the StateGraph itself, not "
                "compiled: the platform adds the checkpointer."
            )
        # Compiled here too, so that a graph with a loose end fails now. One graph for each event loop, since a
        # checkpointer's connection belongs to the loop it was opened in.
        self._compiled = self._builder.compile()
        self._graphs: WeakKeyDictionary[Any, CompiledStateGraph] = WeakKeyDictionary()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def attach(self, settings: Settings) -> None:
        """Keep conversations in ``threads.db`` of the work folder, so that they outlive this process."""
        folder = settings.path(settings.pipeline.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._threads_file = folder / "threads.db"
        self._graphs.clear()

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        payload, options, lock = self._call(row)
        async with lock:
            state = await self._graph(options).ainvoke(payload, options)
        return self._generation(row, state)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        payload, options, lock = self._call(row)
        answer_nodes = self._config.get("answer_nodes")
        state: dict[str, Any] = {}
        interrupts: Any = None
        async with lock:
            data: Any
            async for mode, data in self._graph(options).astream(
                payload, options, stream_mode=["messages", "updates", "values"]
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

    def chat_row(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        row = super().chat_row(messages)
        if "messages" in self._builder.channels and len(messages) > 1:
            row["messages"] = [dict(message) for message in messages[:-1]]
        return row

    def _call(self, row: Mapping[str, Any]) -> "tuple[Any, Any, AbstractAsyncContextManager[Any]]":
        from langgraph.types import Command

        values = {name: value for name, value in row.items() if value is not None}
        resume, thread_id = values.pop(RESUME, None), values.pop(THREAD, None)
        if (resume, thread_id) != (None, None) and not self.extra_columns:
            raise InputError('This graph keeps no conversations: set "threads": true in its config.json.')
        if resume is not None and thread_id is None:
            raise InputError(f"To {RESUME!r}, say which conversation: give its {THREAD!r}.")
        if resume is None and not values.get(self.text_column):
            raise InputError(f"The row has no {self.text_column!r}.")
        if thread_id is None:
            return values, {}, nullcontext()
        if not isinstance(thread_id, str) or not 0 < len(thread_id) <= LONGEST_THREAD_ID:
            raise InputError(f"{THREAD!r} must be text of 1 to {LONGEST_THREAD_ID} characters.")
        # Two requests at once would overwrite each other's turn of the same conversation.
        lock = self._locks.setdefault(f"{id(asyncio.get_running_loop())}:{thread_id}", asyncio.Lock())
        payload: Any = values if resume is None else Command(resume=resume)
        return payload, {"configurable": {"thread_id": thread_id}}, lock

    def _generation(self, row: Mapping[str, Any], state: dict[str, Any]) -> Generation:
        if interrupts := state.get("__interrupt__"):
            asked = interrupts[0].value
            if THREAD not in row or row[THREAD] is None:
                raise InputError(
                    f"The graph stopped to ask {asked!r}. Send a {THREAD!r} with the question, and then its "
                    f"answer as {RESUME!r}."
                )
            return Generation(row, {"interrupt": asked, THREAD: row[THREAD]})
        key = self._config.get("output", "answer")
        if key not in state:
            raise ModelError(f"The graph ended without {key!r} in its state. It has: {', '.join(state)}.")
        contexts = state.get(self._config.get("contexts", "contexts")) or ()
        return Generation(row, state[key], tuple(map(str, contexts)))

    def _graph(self, options: dict[str, Any]) -> "CompiledStateGraph":
        if not options:  # no conversation to keep
            return self._compiled
        loop = asyncio.get_running_loop()
        if loop not in self._graphs:
            self._graphs[loop] = self._builder.compile(checkpointer=_checkpointer(self._threads_file))
        return self._graphs[loop]


def _checkpointer(file: Path | None) -> Any:
    if file is None:
        from langgraph.checkpoint.memory import InMemorySaver

        return InMemorySaver()
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    connection = aiosqlite.connect(file)
    # Its thread must not keep a process alive that has nothing left to do.
    connection._thread.daemon = True
    return AsyncSqliteSaver(connection)


@contextmanager
def real_langgraph() -> Any:
    """Imports of ``langgraph`` inside the block find the package, not a graph's ``langgraph.py``.

    The package is a namespace package, which any file of its name on the path would shadow.
    """
    hidden = [entry for entry in sys.path if (Path(entry or ".") / "langgraph.py").is_file()]
    if getattr(sys.modules.get("langgraph"), "__file__", None):
        raise ModelError(
            f"{sys.modules['langgraph'].__file__} was imported as 'langgraph' and hides the package. Take its "
            "folder off sys.path."
        )
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if entry not in hidden]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _import(file: Path) -> Any:
    """Run a graph's file as a module under a name of its own, so that it shadows nothing."""
    import hashlib

    name = f"mlops_graph_{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    # Annotations of a state are looked up in the module, by its name.
    sys.modules[name] = module
    try:
        with real_langgraph():
            spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's, and may fail in any way
        del sys.modules[name]
        raise ModelError(f"langgraph.py cannot be run: {type(error).__name__}: {error}") from error
    return module
