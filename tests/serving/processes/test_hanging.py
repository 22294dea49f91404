"""Calls that take too long: they are really stopped, and nobody else waits for them."""

import asyncio

import pytest

from serving.processes import health
from serving.processes.process import GRACE_S
from tests.support.staged_service import gone, staged
from tests.support.waiting import until_async

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("hangs", "survives"),
    [
        ("time.sleep(600)", True),
        ("loop()", True),
        ("deaf()", False),
        ("native()", False),
    ],
)
def test_a_batch_that_takes_too_long_is_stopped(tmp_path, obedient, hangs, survives):
    """Where Python can be interrupted the process goes on; a call that ignores it, or stays in native code, loses its
    process. Its caller gets 504, and those who wait an answer."""

    async def scenario():
        async with staged(tmp_path, predict_timeout_s=1.0) as stage:
            await stage.serve(1, obedient)
            pid = await stage.do("os.getpid()")
            bad = asyncio.ensure_future(stage.do(hangs))
            await stage.at_work(bad)
            good = [asyncio.ensure_future(stage.do(f"{n} + 1")) for n in range(5)]
            assert await bad == "model_timeout"
            assert await asyncio.gather(*good) == [1, 2, 3, 4, 5]
            assert (await stage.do("os.getpid()") == pid) is survives
            if not survives:
                await gone(pid)

    asyncio.run(scenario())


def test_callers_who_shared_a_batch_with_a_hanging_row_are_answered(tmp_path, obedient, caplog):
    """Each is tried again alone, in turns with new callers; the hanging row alone gets 504, and the log has its code."""

    async def scenario():
        async with staged(tmp_path, predict_timeout_s=1.0) as stage:
            await stage.serve(1, obedient)
            together = [stage.do(text) for text in ("1 + 1", "loop()", "2 + 2", "sys.exit(2)")]
            assert await asyncio.gather(*together) == [2, "model_timeout", 4, "model_failed"]
            assert stage.figure("model_crashes_total") == 0

    asyncio.run(scenario())
    stopped = [text for text in caplog.messages if "was stopped" in text]
    assert "a call with 4 rows of 4 requests" in stopped[0] and "in loop" in stopped[1], stopped


def test_a_version_that_answers_no_call_any_longer_is_unhealthy(tmp_path, obedient, monkeypatch):
    """Calls that each end with 504, and none in time between them: the process is replaced, and /readyz says so."""
    monkeypatch.setattr(health, "MAX_LATE", 2)
    monkeypatch.setattr(health, "PAUSES_S", (3.0,))

    async def scenario():
        async with staged(tmp_path, predict_timeout_s=0.5) as stage:
            await stage.serve(1, obedient)
            assert [await stage.do("loop()") for _ in range(2)] == ["model_timeout"] * 2
            assert stage.status() == await stage.do("1 + 1") == "model_unhealthy"
            await until_async(lambda: stage.status() == "OK", "another process is ready")
            assert await stage.do("1 + 1") == 2

    asyncio.run(scenario())


def test_an_event_loop_that_is_blocked_delays_nobody_else(tmp_path, graph):
    """`async def` with time.sleep: strangers are answered by another process, the caller gets 504 at its limit, and the
    process that blocks is gone."""

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, graph)
            pid = int(await stage.question("os.getpid()"))
            blocks = f"~(open({str(tmp_path / 'begun')!r}, 'w').close(), time.sleep(600))"
            bad = asyncio.ensure_future(stage.question(blocks, limit_s=8 * GRACE_S))
            await until_async((tmp_path / "begun").exists, "the node blocks")
            answers = await asyncio.gather(*(stage.question(f"~{n} + 1") for n in range(5)))
            assert answers == ["1", "2", "3", "4", "5"] and stage.status() == "OK"
            assert await bad == "timed_out"
            await gone(pid)
            assert await stage.question("~2 + 2") == "4"

    asyncio.run(scenario())


def test_an_event_loop_that_is_blocked_for_a_moment_loses_no_answer(tmp_path, graph):
    """Nobody loses an answer, whether it answers again before another process is ready or after."""

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, graph)
            slow = asyncio.ensure_future(stage.question(f"~time.sleep({2.2 * GRACE_S})"))
            await stage.at_work(slow)
            assert await stage.question("~1 + 1") == "2" and await slow == "None"
            running = stage.models.current().model._supervisor
            await until_async(lambda: running.running and not running._starting, "it has settled")
            assert await stage.question("1 + 1") == "2"

    asyncio.run(scenario())


def test_ten_nodes_that_hang_hold_up_no_caller_and_no_probe(tmp_path, graph):
    """Ten threads of one graph hang: strangers and a new version are served meanwhile; once the ten have given up, their
    process is replaced, and ends."""

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, graph)
            pid = int(await stage.question("os.getpid()"))
            hanging = [asyncio.ensure_future(stage.question("time.sleep(600)", 4.0)) for _ in range(10)]
            await until_async(lambda: stage.models.current().waiting_rows == 10, "all are in work")
            assert await stage.question("1 + 1") == "2" and stage.status() == "OK"
            assert await asyncio.gather(*hanging) == ["timed_out"] * 10
            await gone(pid)
            assert await stage.question("1 + 1") == "2"
            blocked = asyncio.ensure_future(stage.question("time.sleep(600)", 60.0))
            await stage.at_work(blocked)
            await stage.serve(2, graph)
            assert stage.models.current().version.version == 2 and await stage.question("1 + 1") == "2"
            blocked.cancel()

    asyncio.run(scenario())
