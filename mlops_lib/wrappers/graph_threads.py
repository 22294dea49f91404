"""Conversations (threads) of a graph: the columns that name them, their storage, one turn at a time."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from mlops_lib.errors import InputError, ModelError
from mlops_lib.redact.keys import Masker
from mlops_lib.wrappers import graph_turns
from mlops_lib.wrappers.chats import CHAT
from mlops_lib.wrappers.thread_locks import ThreadLocks

if TYPE_CHECKING:
    from langgraph.graph import StateGraph
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import StateSnapshot

#: Columns of a row beside the features, in a graph that keeps conversations.
THREAD, RESUME = "thread_id", "resume"
MAX_THREAD_ID_CHARS = 128
#: In the work folder: the conversations.
THREADS_FILE = "threads.db"
#: Key of the state for the messages of a chat before the last one.
HISTORY = "messages"


class Turn(NamedTuple):
    """One call of a graph.

    Attributes:
        payload: The graph's input; None: it goes on with the turn that broke off.
        options: LangChain's RunnableConfig.
        asked: Open interrupts to show again, instead of a call.
    """

    graph: "CompiledStateGraph"
    payload: Any
    options: dict[str, Any]
    asked: Sequence[Any] = ()


class Threads:
    """A graph with the state of its conversations, in memory or in a SQLite file."""

    def __init__(self, builder: "StateGraph", allowed: bool, text_column: str) -> None:
        self._builder, self._allowed, self._text_column = builder, allowed, text_column
        self._file: Path | None = None
        self._locks = ThreadLocks(None)
        # Compiled at once, so that a graph with a loose end fails when it is loaded.
        self._stateless = builder.compile()
        # A checkpointer's connection belongs to one event loop, so each loop has a graph of its own.
        self._graphs: WeakKeyDictionary[Any, CompiledStateGraph] = WeakKeyDictionary()

    def store_in(self, file: Path) -> None:
        """Keep conversations in a SQLite file from now on."""
        self._file, self._locks = file, ThreadLocks.beside(file)
        self._graphs.clear()

    @asynccontextmanager
    async def turn(self, row: Mapping[str, Any], history: list[dict[str, Any]]) -> AsyncIterator[Turn]:
        """The call of the graph for a row. The thread is locked in the block: two turns at once would overwrite each other.

        Args:
            history: Earlier messages of a chat.

        Raises:
            InputError: The row has no question, its thread_id or resume cannot be used, or the state has no place for the
                history.
            ThreadError: The thread cannot go on as the row asks.
        """
        values = {name: value for name, value in row.items() if not _is_missing(value)}
        thread, resume = values.pop(THREAD, None), values.pop(RESUME, None)
        values.pop(CHAT, None)
        asks = bool(values.get(self._text_column))
        # null can be an answer. Beside a question it is an empty cell of a table.
        resumes = resume is not None or (not asks and RESUME in row and row[RESUME] is None)
        if not self._allowed and (thread is not None or resume is not None):
            raise InputError('This graph keeps no conversations: set "threads": true in its config.json.')
        if thread is None:
            if resume is not None:
                raise InputError(f"A row with {RESUME!r} needs the {THREAD!r} of its conversation.")
            if not asks:
                raise InputError(f"The row has no {self._text_column!r}.")
            yield Turn(self._stateless, self._with_history(values, history), {})
            return
        if not isinstance(thread, str) or not 0 < len(thread) <= MAX_THREAD_ID_CHARS:
            raise InputError(f"{THREAD!r} must be text of 1 to {MAX_THREAD_ID_CHARS} characters.")
        async with self._locks.hold(thread):
            turn = Turn(
                self._graph(asyncio.get_running_loop()), values, {"configurable": {"thread_id": thread}}
            )
            state = await _state(turn, thread)
            if resumes:
                from langgraph.types import Command

                yield turn._replace(payload=Command(resume=graph_turns.answers(resume, state, thread)))
            elif asks:
                begun = state.created_at is not None
                payload = values if begun else self._with_history(values, history)
                yield turn._replace(payload=await self._given_up(turn, state, payload))
            else:
                graph_turns.require_unfinished(state, thread)
                yield turn._replace(payload=None, asked=state.interrupts)

    def _with_history(self, values: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
        if not history:
            return values
        if HISTORY not in self._builder.channels:
            raise InputError(
                f"The state of this graph has no {HISTORY!r}, so that it cannot take system or earlier messages. Send "
                "the last message alone."
            )
        return {**values, HISTORY: history}

    async def _given_up(self, turn: Turn, state: "StateSnapshot", payload: dict[str, Any]) -> dict[str, Any]:
        """The input for a new question. Tool calls of an unfinished turn get their results: they will not be made."""
        for key, results in graph_turns.cancelled_calls(state).items():
            if key in self._builder.schemas[self._builder.input_schema]:
                payload = {**payload, key: [*results, *payload.get(key, ())]}
            else:
                await turn.graph.aupdate_state(turn.options, {key: results}, as_node=state.next[0])  # type: ignore[arg-type]
        return payload

    def _graph(self, loop: asyncio.AbstractEventLoop) -> "CompiledStateGraph":
        if loop not in self._graphs:
            self._graphs[loop] = self._builder.compile(checkpointer=_checkpointer(self._file))
        return self._graphs[loop]


async def _state(turn: Turn, thread: str) -> "StateSnapshot":
    try:
        return await turn.graph.aget_state(turn.options)  # type: ignore[arg-type]
    except Exception as error:  # the state of another version of the graph, say
        raise ModelError(
            f"The thread {thread!r} cannot be read by this version of the graph: {type(error).__name__}: {error}. Begin "
            "another one, or delete it."
        ) from error


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))  # an empty cell of a table


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
