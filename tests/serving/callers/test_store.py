"""The file that workers share."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from serving.callers.store import Store

TABLES = """
CREATE TABLE IF NOT EXISTS callers (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS calls (caller TEXT REFERENCES callers DEFERRABLE INITIALLY DEFERRED);
PRAGMA foreign_keys = ON;
"""


@pytest.mark.parametrize("fails", ["in the block", "at its end"])
def test_a_transaction_that_fails_leaves_the_file_usable(tmp_path, fails):
    """Nothing of it is kept, and the next one begins anew."""
    store = Store(tmp_path / "c.db", TABLES)
    with pytest.raises(sqlite3.Error), store.transaction() as tables:
        tables.execute("INSERT INTO calls VALUES ('nobody')")
        if fails == "in the block":
            tables.execute("no SQL")
    with store.transaction() as tables:
        assert tables.execute("SELECT COUNT(*) FROM calls").fetchone() == (0,)


def test_the_file_is_made_by_several_at_once(tmp_path):
    """None of the first transactions of several workers fails."""
    for number in range(10):
        stores, barrier = [Store(tmp_path / f"{number}.db", TABLES) for _ in range(4)], Barrier(4)

        def add(store: Store, name: str, barrier: Barrier = barrier) -> None:
            barrier.wait()
            with store.transaction() as tables:
                tables.execute("INSERT INTO callers VALUES (?)", (name,))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, stores, "abcd"))
        for store in stores:
            store.close()
