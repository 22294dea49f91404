"""Conversations (threads) of a graph: the columns that name them, their storage, one turn at a time."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

from mlops_lib.errors import InputError
from mlops_lib.redact.keys import Masker
from mlops_lib.wrappers.chats import CHAT
from mlops_lib.wrappers.graph_stream import INTERRUPT

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    from mlops_lib.wrappers.graph_input import GraphInput

#: Columns of a row beside the features, in a graph that keeps conversations.
THREAD, RESUME = "thread_id", "resume"
MAX_THREAD_ID_CHARS = 128


class Turn(NamedTuple):
    """One call of a graph: the graph to call, its input and options, and the lock of the conversation."""

    graph: "Pregel"
    payload: Any
    options: Any
    lock: AbstractAsyncContextManager[Any]


class Threads:
    """A graph with the state of its conversations, in memory or in a SQLite file."""

    def __init__(self, graph: "Pregel", allowed: bool, text_column: str, graph_input: "GraphInput") -> None:
        self._graph, self._allowed, self._text_column = graph, allowed, text_column
        self._input = graph_input
        self._file: Path | None = None
        self._stateless = graph.copy({"checkpointer": None})
        # A checkpointer's connection belongs to one event loop, so each loop has a graph of its own.
        self._graphs: WeakKeyDictionary[Any, Pregel] = WeakKeyDictionary()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def store_in(self, file: Path) -> None:
        """Keep conversations in a SQLite file from now on."""
        self._file = file
        self._graphs.clear()

    def turn(self, row: Mapping[str, Any]) -> Turn:
        """The call of the graph for a row.

        Raises:
            InputError: The row has no question, or its thread_id or resume cannot be used.
        """
        from langgraph.types import Command

        values = {name: value for name, value in row.items() if value is not None and name != CHAT}
        resume, thread_id = values.pop(RESUME, None), values.pop(THREAD, None)
        if (resume, thread_id) != (None, None) and not self._allowed:
            raise InputError("This graph keeps no conversations: set model.params.threads: true.")
        if resume is not None and thread_id is None:
            raise InputError(f"A row with {RESUME!r} needs the {THREAD!r} of its conversation.")
        if resume is None and not values.get(self._text_column):
            raise InputError(f"The row has no {self._text_column!r}.")
        if thread_id is None:
            return self._alone(values)
        if not isinstance(thread_id, str) or not 0 < len(thread_id) <= MAX_THREAD_ID_CHARS:
            raise InputError(f"{THREAD!r} must be text of 1 to {MAX_THREAD_ID_CHARS} characters.")
        # Two requests at once would overwrite each other's turn of the same conversation.
        loop = asyncio.get_running_loop()
        lock = self._locks.setdefault(f"{id(loop)}:{thread_id}", asyncio.Lock())
        payload: Any = values if resume is None else Command(resume=resume)
        return Turn(self._graph_of(loop), payload, {"configurable": {"thread_id": thread_id}}, lock)

    async def payload(self, turn: Turn, chat: Mapping[str, Any]) -> Any:
        """The graph's input for a turn. A conversation that has begun has the earlier messages of a chat already.

        Args:
            chat: ``history`` and ``last`` message of a chat; empty for a row.

        Raises:
            InputError: The graph has no place for earlier messages.
        """
        if not isinstance(turn.payload, dict):
            return turn.payload
        history = chat.get("history", [])
        if history and "thread_id" in turn.options.get("configurable", {}):
            history = [] if (await turn.graph.aget_state(turn.options)).values else history
        return self._input.payload(turn.payload, self._text_column, history, chat.get("last"))

    async def with_pause(self, turn: Turn, state: Any) -> Any:
        """The state; with an interrupt, if the graph stopped at a node of its ``interrupt_before`` or ``_after``."""
        if not pauses(self._graph) or not isinstance(state, Mapping) or state.get(INTERRUPT):
            return state
        from langgraph.types import Interrupt

        waiting = (await turn.graph.aget_state(turn.options)).next
        return {**state, INTERRUPT: [Interrupt({"before": list(waiting)})]} if waiting else state

    def _alone(self, values: dict[str, Any]) -> Turn:
        """The turn of a row without a conversation."""
        if not pauses(self._graph):
            return Turn(self._stateless, values, {}, nullcontext())
        from langgraph.checkpoint.memory import InMemorySaver

        # Without a checkpointer nobody could tell a pause from the end.
        graph = self._graph.copy({"checkpointer": InMemorySaver()})
        return Turn(graph, values, {"configurable": {"thread_id": uuid4().hex}}, nullcontext())

    def _graph_of(self, loop: asyncio.AbstractEventLoop) -> "Pregel":
        if loop not in self._graphs:
            self._graphs[loop] = self._graph.copy({"checkpointer": _checkpointer(self._file)})
        return self._graphs[loop]


def pauses(graph: "Pregel") -> bool:
    """Whether the graph was compiled with nodes at which it stops."""
    return bool(graph.interrupt_before_nodes or graph.interrupt_after_nodes)


def keeps_threads(graph: "Pregel", wanted: bool | None) -> bool:
    """Whether a graph keeps conversations: as `wanted`; None: if it has a checkpointer of its own, or stops at nodes."""
    return bool(graph.checkpointer) or pauses(graph) if wanted is None else bool(wanted)


def _checkpointer(file: Path | None) -> Any:
    if file is None:
        from langgraph.checkpoint.memory import InMemorySaver

        return InMemorySaver()
    import aiosqlite
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    class Masked(JsonPlusSerializer):
        """Writes no known secret: LangGraph stores the error of a failed node, and a state may hold a tool's error."""

        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            kind, content = super().dumps_typed(obj)
            return kind, Masker().known(content, keep_length=True)

    connection = aiosqlite.connect(file)
    # The connection's thread must not keep a finished process alive.
    connection._thread.daemon = True
    return AsyncSqliteSaver(connection, serde=Masked())
