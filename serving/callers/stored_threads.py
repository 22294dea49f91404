"""The file in which LangGraph keeps conversations, as the service deletes from it."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from mlops_lib.wrappers.graph.locks import ThreadLocks
from serving.callers.store import BUSY_S


class InUse(Exception):
    """A turn of the thread is running."""


def delete(tables: sqlite3.Connection, threads: Iterable[str]) -> int:
    """Delete conversations, and return the number of their checkpoints."""
    threads, count = list(threads), 0
    for table in ("writes", "checkpoints"):
        found = tables.executemany(f"DELETE FROM {table} WHERE thread_id = ?", [(one,) for one in threads])
        count = found.rowcount
    return count


def delete_one(file: Path, thread: str) -> bool:
    """Delete a conversation, and return whether it existed.

    Raises:
        InUse: A turn runs.
    """
    if not file.exists():
        return False
    with ThreadLocks.beside(file).hold_now(thread) as held:
        if not held:
            raise InUse
        with closing(sqlite3.connect(file, timeout=BUSY_S)) as tables, tables:
            return bool(delete(tables, [thread]))
