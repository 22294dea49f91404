"""Conversations belong to the caller that began them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mlops_lib.wrappers.graph.threads import MAX_THREAD_ID_CHARS, THREAD
from serving.callers.store import Store
from serving.web.problems import Problem, invalid_input

TABLES = """
CREATE TABLE IF NOT EXISTS threads (id TEXT PRIMARY KEY, owner TEXT NOT NULL, used_s REAL NOT NULL) WITHOUT ROWID;
"""
#: Owners that are kept in memory, so that a turn costs no transaction.
MAX_KNOWN = 10_000
#: Seconds after which the time of a thread's last turn is written again.
WRITE_S = 600.0


class ThreadOwners:
    """The owner of each thread: the name of a key, or "" where the service has no keys."""

    def __init__(self, file: Path) -> None:
        self._store = Store(file, TABLES)
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def claim(self, caller: str, rows: Iterable[Any]) -> None:
        """Let a caller go on with the threads of its rows; a thread without an owner becomes the caller's.

        Raises:
            Problem: 403 for another caller's thread; 422 for an id that is no short text.
        """
        named = [row[THREAD] for row in rows if isinstance(row, dict) and row.get(THREAD) is not None]
        for thread in named:
            if not isinstance(thread, str) or not 0 < len(thread) <= MAX_THREAD_ID_CHARS:
                raise invalid_input(f"{THREAD!r} must be text of 1 to {MAX_THREAD_ID_CHARS} characters.")
        for thread in dict.fromkeys(named):
            owner, written_s = self._known.get(thread, (None, 0.0))
            if owner is None or time.time() - written_s > WRITE_S:
                owner = await asyncio.to_thread(self._owner, thread, caller, time.time())
                self._keep(thread, owner)
            if owner != caller:
                detail = f"The thread {thread!r} belongs to another API key. Begin one with another {THREAD}."
                raise Problem(HTTPStatus.FORBIDDEN, "foreign_thread", detail)

    def forget(self, threads: Iterable[str]) -> None:
        """Delete the owners of deleted threads."""
        threads = list(threads)
        with self._store.transaction() as tables:
            tables.executemany("DELETE FROM threads WHERE id = ?", [(thread,) for thread in threads])
        for thread in threads:
            self._known.pop(thread, None)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _owner(self, thread: str, caller: str, now_s: float) -> str:
        with self._store.transaction() as tables:
            tables.execute("INSERT OR IGNORE INTO threads VALUES (?, ?, ?)", (thread, caller, now_s))
            tables.execute(
                "UPDATE threads SET used_s = ? WHERE id = ? AND owner = ?", (now_s, thread, caller)
            )
            return tables.execute("SELECT owner FROM threads WHERE id = ?", (thread,)).fetchone()[0]

    def _keep(self, thread: str, owner: str) -> None:
        self._known[thread] = owner, time.time()
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
