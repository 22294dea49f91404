"""What a row asks of its conversation: a new question, answers to open interrupts,
or the rest of a turn that broke off."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ThreadError
from mlops_lib.llm.values import plain

if TYPE_CHECKING:
    from langgraph.types import Interrupt, StateSnapshot

#: The form of LangGraph's ids of interrupts.
ID = re.compile("[0-9a-f]{32}")


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
    """The interrupts of a thread that wait for answers. A graph that stops before or
    after a node waits for any answer.

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
        ThreadError: No interrupt is open, several are open and the value names none, an id is not open,
            or the value cannot be kept.
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
    _require_storable(resume)
    return Command(resume=found) if state.interrupts else None


def _require_storable(resume: Any) -> None:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    try:
        JsonPlusSerializer().dumps_typed(resume)
    except Exception as error:  # numbers of more than 64 bits, lists that are hundreds deep
        raise ThreadError("invalid_resume", f"LangGraph cannot keep the answer: {error}.") from None


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


@contextmanager
def invalid_answers() -> Iterator[None]:
    """A graph may give a schema for the answer to its interrupt.
    An answer that does not fit is the caller's error.

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


def _open(ids: Sequence[str]) -> str:
    return f"Open: {', '.join(ids)}."
