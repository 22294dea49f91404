"""Conversations (threads) of a graph: the columns that name them, their storage, one turn at a time."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

from mlops_lib.errors import InputError, ModelError
from mlops_lib.wrappers.graph import turns
from mlops_lib.wrappers.graph.calls import given_up
from mlops_lib.wrappers.graph.checkpoints import checkpointer
from mlops_lib.wrappers.graph.locks import ThreadLocks
from mlops_lib.wrappers.graph.stream import INTERRUPT
from mlops_lib.wrappers.text.chats import CHAT, chat_of

if TYPE_CHECKING:
    from langgraph.pregel import Pregel
    from langgraph.types import StateSnapshot

    from mlops_lib.wrappers.graph.input import GraphInput

#: Columns of a row beside the features, in a graph that keeps conversations.
THREAD, RESUME = "thread_id", "resume"
MAX_THREAD_ID_CHARS = 128
#: In the work folder: the conversations.
THREADS_FILE = "threads.db"


class Turn(NamedTuple):
    """One call of a graph.

    Attributes:
        payload: The graph's input; None: it goes on with the turn that stopped.
        options: LangChain's RunnableConfig.
        asked: Open interrupts to show again, instead of a call.
    """

    graph: "Pregel"
    payload: Any
    options: dict[str, Any]
    asked: Sequence[Any] = ()


class Threads:
    """A graph with the state of its conversations, in memory or in a SQLite file.

    Args:
        importable: In this context, the classes of the graph's code can be imported:
            a state may hold their objects.
    """

    def __init__(
        self,
        graph: "Pregel",
        allowed: bool,
        text_column: str,
        graph_input: "GraphInput",
        importable: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._graph, self._allowed, self._text_column = graph, allowed, text_column
        self._input, self._importable = graph_input, importable
        self._file: Path | None = None
        self._locks = ThreadLocks(None)
        self._stateless = graph.copy({"checkpointer": None})
        # A checkpointer's connection belongs to one event loop, so each loop has a graph of its own.
        self._graphs: WeakKeyDictionary[Any, Pregel] = WeakKeyDictionary()

    def store_in(self, file: Path) -> None:
        """Keep conversations in a SQLite file from now on."""
        self._file, self._locks = file, ThreadLocks.beside(file)
        self._graphs.clear()

    @asynccontextmanager
    async def turn(self, row: Mapping[str, Any]) -> AsyncIterator[Turn]:
        """The call of the graph for a row. The thread is locked in the block:
        two turns at once would overwrite each other.

        Raises:
            InputError: The row has no question, its thread_id or resume cannot be used,
                or the graph has no place for the earlier messages of a chat.
            ThreadError: The thread cannot go on as the row asks.
        """
        values = {name: value for name, value in row.items() if name != CHAT and not _is_missing(value)}
        thread, resume = values.pop(THREAD, None), values.pop(RESUME, None)
        asks = bool(values.get(self._text_column))
        # null can be an answer. Beside a question it is an empty cell of a table.
        resumes = resume is not None or (not asks and RESUME in row and row[RESUME] is None)
        if not self._allowed and (thread is not None or resume is not None):
            raise InputError("This graph keeps no conversations: set model.params.threads: true.")
        if resume is not None and thread is None:
            raise InputError(f"A row with {RESUME!r} needs the {THREAD!r} of its conversation.")
        if not asks and thread is None:
            raise InputError(f"The row has no {self._text_column!r}.")
        if thread is None:
            yield self._alone(self._question(row, values))
            return
        if not isinstance(thread, str) or not 0 < len(thread) <= MAX_THREAD_ID_CHARS:
            raise InputError(f"{THREAD!r} must be text of 1 to {MAX_THREAD_ID_CHARS} characters.")
        async with self._locks.hold(thread):
            graph = self._graph_of(asyncio.get_running_loop())
            turn = Turn(graph, None, {"configurable": {"thread_id": thread}})
            state = await _state(turn, thread)
            asked = turns.open_interrupts(state, pauses(graph))
            if resumes:
                turn = turn._replace(payload=turns.answers(resume, asked, state, thread))
            elif asks:
                payload = self._question(row, values, begun=state.created_at is not None)
                turn = turn._replace(payload=await given_up(turn.graph, turn.options, state, payload))
            else:
                turns.require_unfinished(state, thread)
                turn = turn._replace(asked=asked)
            yield turn

    async def with_pause(self, turn: Turn, state: Any) -> Any:
        """The state; with an interrupt, if the graph stopped at a node of its
        ``interrupt_before`` or ``_after``."""
        if not pauses(self._graph) or not isinstance(state, Mapping) or state.get(INTERRUPT):
            return state
        found = turns.open_interrupts(await turn.graph.aget_state(turn.options), pauses=True)  # type: ignore[arg-type]
        return {**state, INTERRUPT: found} if found else state

    def _question(self, row: Mapping[str, Any], values: dict[str, Any], begun: bool = False) -> Any:
        """The graph's input for a question. A conversation that has begun has the earlier
        messages of a chat already."""
        chat = chat_of(row) or {}
        history = [] if begun else chat.get("history", [])
        return self._input.payload(values, self._text_column, history, chat.get("last"))

    def _alone(self, payload: Any) -> Turn:
        """The turn of a row without a conversation."""
        if not pauses(self._graph):
            return Turn(self._stateless, payload, {})
        from langgraph.checkpoint.memory import InMemorySaver

        # Without a checkpointer nobody could tell a pause from the end.
        graph = self._graph.copy({"checkpointer": InMemorySaver()})
        return Turn(graph, payload, {"configurable": {"thread_id": uuid4().hex}})

    def _graph_of(self, loop: asyncio.AbstractEventLoop) -> "Pregel":
        if loop not in self._graphs:
            self._graphs[loop] = self._graph.copy(
                {"checkpointer": checkpointer(self._file, self._importable)}
            )
        return self._graphs[loop]


def pauses(graph: "Pregel") -> bool:
    """Whether the graph was compiled with nodes at which it stops."""
    return bool(graph.interrupt_before_nodes or graph.interrupt_after_nodes)


def keeps_threads(graph: "Pregel", wanted: bool | None) -> bool:
    """Whether a graph keeps conversations: as `wanted`; None: if it has a checkpointer of its own,
    or stops at nodes."""
    return bool(graph.checkpointer) or pauses(graph) if wanted is None else bool(wanted)


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
