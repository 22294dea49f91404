"""The file that workers share."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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


def test_changes_at_once_share_transactions(tmp_path, monkeypatch):
    """In their order; one that is refused leaves the others, and gets its own error."""
    store, begun = Store(tmp_path / "c.db", TABLES), []
    transaction = store.transaction
    monkeypatch.setattr(store, "transaction", lambda: begun.append(1) or transaction())

    def change(number: int, tables: sqlite3.Connection) -> int:
        if number % 10 == 9:
            raise ValueError(number)
        tables.execute("INSERT OR REPLACE INTO callers VALUES (?)", (str(number),))
        return number

    async def every() -> list[object]:
        changes = [store.apply(partial(change, number)) for number in range(100)]
        return await asyncio.gather(*changes, return_exceptions=True)

    for _ in range(2):  # each event loop has its own results
        found = asyncio.run(every())
        assert [n if isinstance(n, int) else n.args[0] for n in found] == list(range(100))
        assert sum(isinstance(n, ValueError) for n in found) == 10
    with transaction() as tables:
        assert tables.execute("SELECT COUNT(*) FROM callers").fetchone() == (90,)
    assert len(begun) < 100


def test_a_file_that_cannot_be_written_fails_each_change(tmp_path):
    """With SQLite's error, and the next change is tried anew."""
    store = Store(tmp_path / "c.db", TABLES)

    async def both() -> list[object]:
        wrong = [
            store.apply(lambda tables: tables.execute("INSERT INTO nowhere VALUES (1)")) for _ in range(2)
        ]
        found = await asyncio.gather(*wrong, return_exceptions=True)
        return [*found, await store.apply(lambda tables: 5)]

    first, second, third = asyncio.run(both())
    assert isinstance(first, sqlite3.OperationalError) and isinstance(second, sqlite3.OperationalError)
    assert third == 5
