"""The requests in the prediction log: whose each one was, and how many rows it had.
Feedback is checked against it."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from mlops_lib.monitoring.prediction_log import INDEX
from serving.callers.store import Store

TABLES = """
CREATE TABLE IF NOT EXISTS requests (
  id TEXT, caller TEXT, rows INTEGER NOT NULL, at_s REAL NOT NULL, PRIMARY KEY (id, caller)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_at ON requests (at_s);
"""
#: Seconds between looks for a request that another worker has not written yet.
POLL_S = 0.25


class RequestIndex:
    """Requests by id and caller. Those that are not written yet are in memory."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder / INDEX, TABLES)
        self._pending: dict[tuple[str, str], int] = {}
        #: Callers who wait for another worker's record now.
        self.waiting = 0

    def expect(self, request_id: str, caller: str, rows: int) -> None:
        """Know a request whose record waits to be written."""
        self._pending[request_id, caller] = rows

    def write(self, requests: Iterable[tuple[str, str, int, float]]) -> None:
        """Write requests: id, caller, rows and Unix time."""
        requests = list(requests)
        with self._store.transaction() as tables:
            tables.executemany("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?)", requests)
        self.forget_pending(requests)

    def forget(self, requests: Iterable[tuple[str, str, int, float]]) -> None:
        """Delete requests whose records are lost."""
        with self._store.transaction() as tables:
            tables.executemany(
                "DELETE FROM requests WHERE id = ? AND caller = ?", [request[:2] for request in requests]
            )

    def forget_pending(self, requests: Iterable[tuple[str, str, int, float]]) -> None:
        """Forget requests whose records are written, or lost."""
        for request_id, caller, *_ in requests:
            self._pending.pop((request_id, caller), None)

    async def rows(self, request_id: str, caller: str, wait_s: float = 0.0) -> int | None:
        """How many rows a caller's request had; None for a request that is unknown or another caller's.

        Args:
            wait_s: Seconds in which another worker may still write it.
        """
        ends = time.monotonic() + wait_s
        self.waiting += 1
        try:
            while True:
                if (pending := self._pending.get((request_id, caller))) is not None:
                    return pending
                if (found := await asyncio.to_thread(self._written, request_id, caller)) is not None:
                    return found
                if time.monotonic() >= ends:
                    return None
                await asyncio.sleep(POLL_S)
        finally:
            self.waiting -= 1

    def delete(self, before_s: float) -> None:
        """Delete requests of an earlier time."""
        with self._store.transaction() as tables:
            tables.execute("DELETE FROM requests WHERE at_s < ?", (before_s,))

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _written(self, request_id: str, caller: str) -> int | None:
        with self._store.transaction() as tables:
            found = tables.execute(
                "SELECT rows FROM requests WHERE id = ? AND caller = ?", (request_id, caller)
            )
            row = found.fetchone()
        return row[0] if row else None
