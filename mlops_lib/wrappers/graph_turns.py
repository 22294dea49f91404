"""What a row asks of its conversation: a new question, answers to open interrupts, or the rest of a turn that broke off."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ThreadError
from mlops_lib.llm.values import plain

if TYPE_CHECKING:
    from langgraph.types import Interrupt, StateSnapshot

#: The form of LangGraph's ids of interrupts.
ID = re.compile("[0-9a-f]{32}")
#: The result of a tool call whose turn was given up for a new question. Vendors refuse a call without a result.
CANCELLED = "Cancelled: the next message came before this call was made."


def shown(interrupts: Sequence["Interrupt"]) -> list[dict[str, Any]]:
    """Open interrupts for a caller: id and question, and the schema of the answer where the graph gives one.

    LangGraph lists those of parallel nodes in any order; a caller sees them in the same order each time.
    """
    found = []
    for each in sorted(interrupts, key=lambda each: each.id):
        schema = getattr(each, "response_schema", None)
        found.append({"id": each.id, "value": plain(each.value)} | ({"schema": schema} if schema else {}))
    return found


def open_interrupts(state: "StateSnapshot", pauses: bool) -> list["Interrupt"]:
    """The interrupts of a thread that wait for answers. A graph that stops before or after a node waits for any answer.

    Args:
        pauses: Whether the graph was compiled with nodes at which it stops.
    """
    from langgraph.types import Interrupt

    if state.interrupts or not (pauses and state.next) or any(task.error for task in state.tasks):
        return list(state.interrupts)
    checkpoint = str(state.config["configurable"]["checkpoint_id"]).replace("-", "")
    return [Interrupt({"before": list(state.next)}, id=checkpoint)]


def answers(resume: Any, asked: Sequence["Interrupt"], state: "StateSnapshot", thread: str) -> Any:
    """The graph's input for the value of ``resume``.

    An object whose keys are ids answers several interrupts; any other value answers the only open one.

    Args:
        asked: The open interrupts.

    Raises:
        ThreadError: No interrupt is open, several are open and the value names none, or an id is not open.
    """
    from langgraph.types import Command

    require_begun(state, thread)
    ids = [each.id for each in asked]
    if not ids:
        hint = (
            f" Send {{'thread_id': {thread!r}}} alone to go on with its unfinished turn."
            if state.next
            else ""
        )
        raise ThreadError("nothing_open", f"The thread {thread!r} has no open interrupt to answer.{hint}")
    found = {ids[0]: resume}
    by_id = isinstance(resume, dict) and bool(resume)
    if by_id and (any(key in ids for key in resume) or all(ID.fullmatch(str(key)) for key in resume)):
        if unknown := [key for key in resume if key not in ids]:
            raise ThreadError(
                "unknown_interrupt",
                f"The thread {thread!r} has no open interrupt {unknown[0]!r}. {_open(ids)}",
            )
        found = dict(resume)
    elif len(ids) > 1:
        raise ThreadError(
            "several_interrupts",
            f"The thread {thread!r} has {len(ids)} open interrupts: answer them by id, {{'resume': {{id: answer}}}}. "
            f"{_open(ids)}",
        )
    return Command(resume=found) if state.interrupts else None


def require_begun(state: "StateSnapshot", thread: str) -> None:
    """Check that a thread has a turn.

    Raises:
        ThreadError: It has none.
    """
    if state.created_at is None:
        raise ThreadError("unknown_thread", f"There is no thread {thread!r}: begin one with a question.")


def require_unfinished(state: "StateSnapshot", thread: str) -> None:
    """Check that a thread's last turn has not ended, so that it can go on.

    Raises:
        ThreadError: There is no such thread, or nothing is left to do.
    """
    require_begun(state, thread)
    if not state.next:
        raise ThreadError(
            "nothing_open", f"The last turn of the thread {thread!r} has ended: send a question."
        )


async def given_up(graph: Any, options: Any, state: "StateSnapshot", payload: Any) -> Any:
    """The input for a new question on a thread with an unfinished turn, whose tool calls will not be made."""
    builder = getattr(graph, "builder", None)  # none: an entrypoint, whose state has no keys
    if builder is None or not state.next or not isinstance(state.values, Mapping):
        return payload
    for key, value in state.values.items():
        if not (results := _results(value)):
            continue
        if key in builder.schemas[builder.input_schema]:
            own = payload.get(key, [])
            payload = {**payload, key: [*results, *(own if isinstance(own, list) else [own])]}
        else:
            await graph.aupdate_state(options, {key: results}, as_node=state.next[0])
    return payload


@contextmanager
def invalid_answers() -> Iterator[None]:
    """A graph may give a schema for the answer to its interrupt. An answer that does not fit is the caller's error.

    Raises:
        ThreadError: In place of LangGraph's error. The interrupt stays open.
    """
    try:
        yield
    except Exception as error:
        from langgraph import errors

        if not getattr(errors, "is_invalid_resume", lambda error: False)(error):  # older ones have no schema
            raise
        message = f"The answer does not fit the schema of its interrupt, which stays open: {error}"
        raise ThreadError("invalid_resume", message) from error


def _results(value: Any) -> list[Any]:
    from langchain_core.messages import AIMessage, ToolMessage

    done = set()
    for message in reversed(value if isinstance(value, list) else []):
        if isinstance(message, AIMessage):
            calls = [call for call in message.tool_calls if call["id"] not in done]
            return [ToolMessage(CANCELLED, tool_call_id=call["id"], name=call["name"]) for call in calls]
        if not isinstance(message, ToolMessage):
            break
        done.add(message.tool_call_id)
    return []


def _open(ids: Sequence[str]) -> str:
    return f"Open: {', '.join(ids)}."
