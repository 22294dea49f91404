"""One SQLite file for the facts that all workers share and that outlive a restart: owners of threads,
and spending."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

#: Seconds to wait for another worker's transaction.
BUSY_S = 10.0
#: Seconds between attempts where SQLite itself does not wait.
POLL_S = 0.02
#: Reads and writes the tables. What it raises, but for errors of SQLite, it raises before it has written.
Change = Callable[[sqlite3.Connection], Any]


class Waiting(NamedTuple):
    """A change that waits, and the future that gets its result."""

    change: Change
    future: "asyncio.Future[Any]"


class Store:
    """A SQLite file, opened at the first transaction.

    Call `transaction` and `close` from threads: each may wait for a disk. `apply` is for event loops.

    Args:
        tables: SQL that creates the tables unless they exist.
    """

    def __init__(self, file: Path, tables: str) -> None:
        self.file, self._tables = file, tables
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[Waiting] = []
        self._applying = False
        self._queue_lock = threading.Lock()

    def apply(self, change: Change) -> "asyncio.Future[Any]":
        """The result of a change, which is made in a thread.

        Changes that come while the thread is at work share its next transaction: a thread and a transaction
        for each would cost more than a request. One that raises does not affect the others.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._queue_lock:
            self._waiting.append(Waiting(change, future))
            starts, self._applying = not self._applying, True
        if starts:
            loop.run_in_executor(None, self._apply_waiting)
        return future

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that other workers see whole or not at all.
        It is rolled back when the block raises."""
        with self._lock:
            connection = self._connection = self._connection or self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk may have ended it
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _apply_waiting(self) -> None:
        while True:
            with self._queue_lock:
                taken, self._waiting = self._waiting, []
                if not taken:
                    self._applying = False
                    return
            results = self._together([one.change for one in taken])
            for loop in {one.future.get_loop() for one in taken}:
                own = [
                    (one.future, *result)
                    for one, result in zip(taken, results, strict=True)
                    if one.future.get_loop() is loop
                ]
                with suppress(RuntimeError):  # the loop has ended, and nobody waits
                    loop.call_soon_threadsafe(_settle, own)

    def _together(self, changes: Sequence[Change]) -> list[tuple[Any, Exception | None]]:
        """The result or the error of each change, all in one transaction."""
        found: list[tuple[Any, Exception | None]] = []
        try:
            with self.transaction() as tables:
                for change in changes:
                    try:
                        found.append((change(tables), None))
                    except sqlite3.Error:
                        raise
                    except Exception as error:
                        found.append((None, error))
        except Exception as error:
            return [(None, error)] * len(changes)
        return found

    def _opened(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        made = sqlite3.connect(self.file, BUSY_S, isolation_level=None, check_same_thread=False)
        _use_wal(made)
        made.execute("PRAGMA synchronous=NORMAL")
        made.executescript(self._tables)
        return made


def _settle(results: "Sequence[tuple[asyncio.Future[Any], Any, Exception | None]]") -> None:
    for future, value, error in results:
        if future.done():  # its caller has left
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Change a new file to a write-ahead log. SQLite does not wait for another worker that does the same."""
    ends = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= ends:
                raise
            time.sleep(POLL_S)
