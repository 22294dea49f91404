"""Conversations (threads) of a graph: the columns that name them, their storage, one turn at a time."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from mlops_lib.errors import InputError
from mlops_lib.redact.keys import Masker
from mlops_lib.wrappers.chats import CHAT

if TYPE_CHECKING:
    from langgraph.graph import StateGraph
    from langgraph.graph.state import CompiledStateGraph

#: Columns of a row beside the features, in a graph that keeps conversations.
THREAD, RESUME = "thread_id", "resume"
MAX_THREAD_ID_CHARS = 128
#: Key of the state for the messages of a chat before the last one.
HISTORY = "messages"


class Turn(NamedTuple):
    """One call of a graph: the graph to call, its input and options, and the lock of the conversation."""

    graph: "CompiledStateGraph"
    payload: Any
    options: Any
    lock: AbstractAsyncContextManager[Any]


class Threads:
    """A graph with the state of its conversations, in memory or in a SQLite file."""

    def __init__(self, builder: "StateGraph", allowed: bool, text_column: str) -> None:
        self._builder, self._allowed, self._text_column = builder, allowed, text_column
        self._file: Path | None = None
        # Compiled at once, so that a graph with a loose end fails when it is loaded.
        self._stateless = builder.compile()
        # A checkpointer's connection belongs to one event loop, so each loop has a graph of its own.
        self._graphs: WeakKeyDictionary[Any, CompiledStateGraph] = WeakKeyDictionary()
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
            raise InputError('This graph keeps no conversations: set "threads": true in its config.json.')
        if resume is not None and thread_id is None:
            raise InputError(f"A row with {RESUME!r} needs the {THREAD!r} of its conversation.")
        if resume is None and not values.get(self._text_column):
            raise InputError(f"The row has no {self._text_column!r}.")
        if thread_id is None:
            return Turn(self._stateless, values, {}, nullcontext())
        if not isinstance(thread_id, str) or not 0 < len(thread_id) <= MAX_THREAD_ID_CHARS:
            raise InputError(f"{THREAD!r} must be text of 1 to {MAX_THREAD_ID_CHARS} characters.")
        # Two requests at once would overwrite each other's turn of the same conversation.
        loop = asyncio.get_running_loop()
        lock = self._locks.setdefault(f"{id(loop)}:{thread_id}", asyncio.Lock())
        payload: Any = values if resume is None else Command(resume=resume)
        return Turn(self._graph(loop), payload, {"configurable": {"thread_id": thread_id}}, lock)

    async def payload(self, turn: Turn, history: list[dict[str, Any]]) -> Any:
        """The input of a turn, with a chat's earlier messages. A conversation that has begun has them already.

        Raises:
            InputError: The graph's state has no place for them.
        """
        if not history or not isinstance(turn.payload, dict):
            return turn.payload
        if "configurable" in turn.options and (await turn.graph.aget_state(turn.options)).values:
            return turn.payload
        if HISTORY not in self._builder.channels:
            raise InputError(
                f"The state of this graph has no {HISTORY!r}, so that it cannot take system or earlier messages. Send "
                "the last message alone."
            )
        return {**turn.payload, HISTORY: history}

    def _graph(self, loop: asyncio.AbstractEventLoop) -> "CompiledStateGraph":
        if loop not in self._graphs:
            self._graphs[loop] = self._builder.compile(checkpointer=_checkpointer(self._file))
        return self._graphs[loop]


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
