"""Owners of conversations."""

import asyncio
from typing import Any

import pytest

from serving.callers.threads import ThreadOwners
from serving.web.problems import Problem


def claim(owners: ThreadOwners, caller: str, *rows: Any) -> int:
    """Claim the threads of some rows; the status of the refusal, 200 without one."""
    try:
        asyncio.run(owners.claim(caller, rows))
    except Problem as problem:
        return problem.status
    return 200


def test_a_thread_belongs_to_the_key_that_began_it(tmp_path):
    """The owner goes on, another key and a caller without a key do not, in any order."""
    owners = ThreadOwners(tmp_path / "c.db")
    assert claim(owners, "a", {"thread_id": "t"}) == 200
    assert [claim(owners, name, {"thread_id": "t"}) for name in ("b", "a", "", "A", "b")] == [
        403,
        200,
        403,
        403,
        403,
    ]
    assert claim(owners, "b", {"thread_id": "u"}) == 200 and claim(owners, "a", {"thread_id": "u"}) == 403


def test_owners_survive_a_restart_and_are_known_to_other_workers(tmp_path):
    """They are in a file, which two services share."""
    one, other = ThreadOwners(tmp_path / "c.db"), ThreadOwners(tmp_path / "c.db")
    assert claim(one, "a", {"thread_id": "t"}) == 200
    assert claim(other, "b", {"thread_id": "t"}) == 403 and claim(other, "a", {"thread_id": "t"}) == 200
    one.close()
    assert claim(ThreadOwners(tmp_path / "c.db"), "b", {"thread_id": "t"}) == 403


@pytest.mark.parametrize("number", range(4))
def test_one_of_several_callers_at_once_gets_a_new_thread(tmp_path, number):
    """The others are refused."""
    owners = [ThreadOwners(tmp_path / f"{number}.db") for _ in range(2)]

    async def race() -> list[Any]:
        claims = (owners[n % 2].claim(f"key {n}", [{"thread_id": "t"}]) for n in range(8))
        return await asyncio.gather(*claims, return_exceptions=True)

    assert sum(one is None for one in asyncio.run(race())) == 1


@pytest.mark.parametrize("thread", ["", "x" * 129, 5, ["t"], {"a": 1}, True], ids=repr)
def test_ids_are_short_texts(tmp_path, thread):
    """422 before anything is stored."""
    owners = ThreadOwners(tmp_path / "c.db")
    assert (
        claim(owners, "a", {"thread_id": "t"}, {"thread_id": thread}) == 422
        and not (tmp_path / "c.db").exists()
    )


@pytest.mark.parametrize("row", [{}, {"thread_id": None}, {"question": "t"}, "text", 5], ids=repr)
def test_rows_without_a_thread_cost_nothing(tmp_path, row):
    """No file is made."""
    assert claim(ThreadOwners(tmp_path / "c.db"), "a", row) == 200 and not (tmp_path / "c.db").exists()


def test_a_row_of_another_key_refuses_the_request(tmp_path):
    """One row among many is enough."""
    owners = ThreadOwners(tmp_path / "c.db")
    claim(owners, "a", {"thread_id": "t"})
    assert claim(owners, "b", {"thread_id": "u"}, {}, {"thread_id": "t"}) == 403


def test_a_deleted_thread_is_free(tmp_path):
    """After its conversation is deleted, the id may begin a new one."""
    owners = ThreadOwners(tmp_path / "c.db")
    claim(owners, "a", {"thread_id": "t"}, {"thread_id": "u"})
    owners.forget(["t"])
    assert claim(owners, "b", {"thread_id": "t"}) == 200 and claim(owners, "b", {"thread_id": "u"}) == 403
