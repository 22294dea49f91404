"""One SQLite file for the facts that all workers share and that outlive a restart: owners of threads, and spending."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds to wait for another worker's transaction.
BUSY_S = 10.0
#: Seconds between attempts where SQLite itself does not wait.
POLL_S = 0.02


class Store:
    """A SQLite file, opened at the first transaction. Call it from threads: each transaction may wait for a disk.

    Args:
        tables: SQL that creates the tables unless they exist.
    """

    def __init__(self, file: Path, tables: str) -> None:
        self.file, self._tables = file, tables
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that other workers see whole or not at all. It is rolled back when the block raises."""
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

    def _opened(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        made = sqlite3.connect(self.file, BUSY_S, isolation_level=None, check_same_thread=False)
        _use_wal(made)
        made.execute("PRAGMA synchronous=NORMAL")
        made.executescript(self._tables)
        return made


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
