"""Micro-batching by itself: real threads, functions for models."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest

from mlops_lib.columns.encode import BadValue
from serving.inference.batching import Batcher
from serving.inference.threads import ThreadExecutor
from serving.web.problems import Problem
from tests.support.waiting import LIMIT_S


class Doubler:
    """Doubles numbers; remembers its batches; can be held up, and told to misbehave on some rows."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, rows: list[int]) -> np.ndarray:
        self.batches.append(list(rows))
        self.gate.wait(LIMIT_S)
        if 666 in rows:
            raise ValueError("the number of the beast")
        if 667 in rows:
            raise StopIteration  # as of a stray next()
        if 13 in rows:
            while True:  # hangs where Python can stop it
                time.sleep(0.01)
        if 14 in rows:
            with contextlib.suppress(BaseException):  # as a bare `except:` in a model does
                while True:
                    time.sleep(0.01)
        if 15 in rows:
            raise BadValue(rows.index(15), "x", 15, "another number")
        answers = np.array([float(row) * 2 for row in rows])
        answers[[row == 404 for row in rows]] = np.nan
        return answers[:-1] if 99 in rows else answers


def run(scenario, **limits):
    """Run a coroutine function on a new Batcher and its model."""

    async def main():
        model = Doubler()
        executor = ThreadExecutor(model, limits.pop("inline_rows", 0))
        batcher = Batcher(executor, **{"batch_rows": 8, "queue_rows": 64, "timeout_s": 60, **limits})
        try:
            return await asyncio.wait_for(scenario(batcher, model), LIMIT_S)
        finally:
            model.gate.set()
            await asyncio.wait_for(batcher.drain(), LIMIT_S)
            executor.close()

    return asyncio.run(main())


async def until(holds) -> None:
    """Wait until a condition holds."""
    while not holds():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("inline_rows", [0, 100])
def test_each_caller_gets_its_own_rows_in_order(inline_rows):
    """Whatever batches forty callers' rows travel in, in a thread or on the loop, each has its own back."""

    async def scenario(batcher, model):
        asked = [[at * 10 + n for n in range(at % 4 + 1)] for at in range(20)]
        answers = await asyncio.gather(*map(batcher, asked))
        assert answers == [[row * 2 for row in rows] for rows in asked]
        assert sum(map(len, model.batches)) == sum(map(len, asked))
        assert max(map(len, model.batches)) <= 8

    run(scenario, inline_rows=inline_rows)


def test_rows_that_arrive_during_a_call_form_the_next_batch():
    """An idle model is called at once with the lone row; the nine that come meanwhile are one call, up to the bound."""

    async def scenario(batcher, model):
        model.gate.clear()
        first = asyncio.ensure_future(batcher([1]))
        await until(lambda: model.batches)
        assert model.batches == [[1]], "it waited for company"
        others = [asyncio.ensure_future(batcher([n])) for n in range(2, 11)]
        await until(lambda: batcher.waiting_rows == 9)
        model.gate.set()
        await asyncio.gather(first, *others)
        assert model.batches == [[1], [2, 3, 4, 5, 6, 7, 8, 9], [10]]

    run(scenario)


def test_a_request_larger_than_a_batch_is_cut_and_put_together_again():
    """Thirty rows in calls of at most eight, one answer in order."""

    async def scenario(batcher, model):
        assert await batcher(list(range(500, 530))) == [row * 2 for row in range(500, 530)]
        assert max(map(len, model.batches)) <= 8

    run(scenario)


@pytest.mark.parametrize("inline_rows", [0, 100])
@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (666, ValueError, "beast"),
        (667, RuntimeError, "StopIteration"),
        (404, Problem, "not a finite number"),
        (99, Problem, "predictions for 2 rows"),
    ],
)
def test_a_bad_row_is_nobody_elses_problem(inline_rows, bad, error, said):
    """Raising, not finite, a prediction too few: its caller alone is told; the batch's others are answered."""

    async def scenario(batcher, model):
        asked = [[1, 2], [3, bad], [4], [5, 6]]
        model.gate.clear() if not inline_rows else None
        held = asyncio.ensure_future(batcher([0]))
        await until(lambda: model.batches)
        waiting = [asyncio.ensure_future(batcher(rows)) for rows in asked]
        await until(lambda: inline_rows or batcher.waiting_rows == 7)
        model.gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert await held == [0]
        assert isinstance(answers[1], error) and said in str(answers[1]), answers
        assert answers[::2] == [[2, 4], [8]] and answers[3] == [10, 12]
        if bad == 404:
            assert "rows [1]" in str(answers[1]), "the row is counted from the caller's first"

    run(scenario, inline_rows=inline_rows)


def test_a_call_that_hangs_is_stopped_and_the_others_are_answered():
    """Its caller gets 504 after the time-out, those in its batch and after it get predictions; the thread ends."""

    async def scenario(batcher, model):
        model.gate.clear()
        held = asyncio.ensure_future(batcher([0]))
        await until(lambda: model.batches)
        waiting = [asyncio.ensure_future(batcher([row])) for row in (1, 13, 2)]
        await until(lambda: batcher.waiting_rows == 3)
        model.gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert (answers[0], answers[2], await held) == ([2], [4], [0])
        assert isinstance(answers[1], Problem) and answers[1].code == "model_timeout"
        assert await batcher([7]) == [14]
        await until(lambda: batcher._executor.hung == 0)

    run(scenario, timeout_s=2)


class Slow:
    """An executor whose calls the test ends. `calls` has the rows and the limit of each."""

    ready, trouble = True, None

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], float]] = []

    def start(self, jobs, timeout_s, done):
        """See `Executor`."""
        self.calls.append(([row for job in jobs for row in job.rows], timeout_s))
        self.jobs, self.done = jobs, done

    def end(self, late: bool, seconds: float = 1.0) -> None:
        """End the call under way: it took too long, or each row is its own prediction."""
        self.done(None if late else [list(job.rows) for job in self.jobs], seconds)


def test_a_row_that_hangs_among_others_costs_its_caller_one_time_out():
    """The shared call has a quarter of the time, and its rows alone the rest. Where none hangs, the model is only slow: its
    calls have all of the time."""

    async def main():
        executor = Slow()
        batcher = Batcher(executor, batch_rows=8, queue_rows=64, timeout_s=8.0)

        async def shared(*lates: bool):
            answers = [asyncio.ensure_future(batcher([row])) for row in range(len(lates))]
            await until(lambda: len(executor.calls) == 1)
            executor.end(late=True)
            for late in lates:
                executor.end(late)
            calls, executor.calls = executor.calls, []
            found = await asyncio.gather(*answers, return_exceptions=True)
            assert [isinstance(one, Problem) and "within 8 s" in one.detail for one in found] == list(lates)
            return calls

        assert await shared(False, True) == [([0, 1], 2.0), ([0], 6.0), ([1], 6.0)]
        assert await shared(False, False) == [([0, 1], 2.0), ([0], 6.0), ([1], 6.0)]
        assert await shared(False, True) == [([0, 1], 8.0), ([0], 8.0), ([1], 8.0)]

    asyncio.run(main())


def test_a_model_that_was_slow_once_gets_its_shared_time_out_back():
    """The first call warms it up. A fast call with fewer rows, or one that is not much faster, shows nothing."""

    async def main():
        executor = Slow()
        batcher = Batcher(executor, batch_rows=8, queue_rows=64, timeout_s=8.0)

        async def shared(rows: int, *ends: tuple[bool, float]):
            answers = [asyncio.ensure_future(batcher([row])) for row in range(rows)]
            await until(lambda: len(executor.calls) == 1)
            for late, seconds in ends:
                executor.end(late, seconds)
            calls, executor.calls = executor.calls, []
            assert await asyncio.gather(*answers) == [[row] for row in range(rows)]
            return calls[0][1]

        assert await shared(3, (True, 2.0), *[(False, 0.1)] * 3) == 2.0  # a warm-up of three rows
        assert await shared(2, (False, 0.1)) == 8.0
        assert await shared(3, (False, 1.5)) == 8.0
        assert await shared(3, (False, 0.1)) == 8.0
        assert await shared(3, (False, 0.1)) == 2.0

    asyncio.run(main())


class Stage:
    """A batcher over a `Slow` executor, whose shared calls the test makes one at a time."""

    def __init__(self, **limits) -> None:
        self.executor = Slow()
        self.batcher = Batcher(
            self.executor, **{"batch_rows": 8, "queue_rows": 64, "timeout_s": 8.0, **limits}
        )

    async def shared(self, rows: int, *ends) -> float:
        """Ask for rows of that many callers; the limit of their first call. Each of `ends` ends a call."""
        answers = [asyncio.ensure_future(self.batcher([row])) for row in range(rows)]
        await until(lambda: len(self.executor.calls) == 1)
        for end in ends:
            end(self.executor)
        calls, self.executor.calls = self.executor.calls, []
        await asyncio.gather(*answers, return_exceptions=True)
        return calls[0][1]


def late(executor: Slow) -> None:
    """The call took too long."""
    executor.end(late=True)


def fast(executor: Slow) -> None:
    """The call is answered at once."""
    executor.end(late=False, seconds=0.1)


def failed(executor: Slow) -> None:
    """All of the call's rows fail at once."""
    executor.done([ValueError("no")] * len(executor.jobs), 0.1)


def test_a_fast_call_whose_rows_all_fail_does_not_show_that_the_model_is_fast():
    """A model may refuse its rows before it begins with them."""

    async def main():
        stage = Stage()
        assert await stage.shared(2, late, fast, fast) == 2.0
        assert await stage.shared(2, failed) == 8.0
        assert await stage.shared(2, fast) == 8.0
        assert await stage.shared(2, fast) == 2.0

    asyncio.run(main())


def test_few_calls_of_a_model_that_is_slow_now_and_then_are_stopped():
    """Each time that the model turns out to be slow, its shared time-out is back after twice as many fast calls."""

    async def main():
        stage = Stage()
        for needed in (1, 2, 4, 8):
            assert await stage.shared(2, late, fast, fast) == 2.0
            assert [await stage.shared(2, fast) for _ in range(needed)] == [8.0] * needed

    asyncio.run(main())


def test_rows_that_cannot_be_sent_together_are_sent_alone_and_the_model_is_not_slow():
    """Each has the whole time, in the order of arrival and before later rows; the rows too large by themselves fail alone."""

    async def main():
        stage = Stage()
        executor, sent = stage.executor, stage.executor.start

        def start(jobs, timeout_s, done):
            if sum(row for job in jobs for row in job.rows) > 100:
                raise ValueError("too many bytes")
            return sent(jobs, timeout_s, done)

        executor.start = start
        answers = [asyncio.ensure_future(stage.batcher([row])) for row in (60, 70, 101, 80)]
        await until(lambda: executor.calls)
        later = [asyncio.ensure_future(stage.batcher([row])) for row in (1, 2)]
        await until(lambda: stage.batcher.waiting_rows == 5)
        for _ in range(4):
            executor.end(late=False)
        found = await asyncio.gather(*answers, *later, return_exceptions=True)
        assert found[:2] + found[3:] == [[60], [70], [80], [1], [2]] and "bytes" in str(found[2])
        assert executor.calls == [([60], 8.0), ([70], 8.0), ([80], 8.0), ([1, 2], 2.0)]

    asyncio.run(main())


def test_a_caller_who_leaves_during_a_call_that_hangs_takes_nobody_along():
    """The caller whose row hangs has left when the call is stopped; the other row is tried again alone, and answered."""

    async def scenario(batcher, model):
        model.gate.clear()
        held = asyncio.ensure_future(batcher([0]))
        await until(lambda: model.batches)
        gone, stays = asyncio.ensure_future(batcher([13])), asyncio.ensure_future(batcher([2]))
        await until(lambda: batcher.waiting_rows == 2)
        model.gate.set()
        await until(lambda: len(model.batches) == 2)
        gone.cancel()
        assert await stays == [4] and await held == [0]
        assert model.batches == [[0], [13, 2], [2]]

    run(scenario, timeout_s=3)


def test_the_thread_of_a_model_that_swallows_being_stopped_ends_with_its_call():
    """A bare `except:` holds the exception that stops the call; the call returns, and is no longer counted as hung."""

    async def scenario(batcher, model):
        for _ in range(2):
            with pytest.raises(Problem, match="did not answer"):
                await batcher([14])
        await until(lambda: batcher._executor.hung == 0)
        assert await batcher([7]) == [14]

    run(scenario, timeout_s=1)


@pytest.mark.parametrize(("bad", "error"), [(404, Problem), (15, BadValue)])
def test_a_bad_row_of_many_is_counted_from_the_callers_first(bad, error):
    """Row 20 of a request that is served in calls of eight is row 20 to its caller, whoever found it bad."""

    async def scenario(batcher, model):
        with pytest.raises(error, match=r"\b20\b"):
            await batcher([1] * 20 + [bad])

    run(scenario)


def test_a_request_that_is_refused_leaves_nothing_in_the_queue():
    """Larger than the queue and longer than a batch: refused whole, so that no row is computed for nobody."""

    async def scenario(batcher, model):
        model.gate.clear()
        with pytest.raises(Problem) as refused:
            await batcher(list(range(9)))
        assert refused.value.status == 413 and batcher.waiting_rows == 0
        model.gate.set()
        assert await batcher([3]) == [6] and model.batches[-1] == [3]

    run(scenario, batch_rows=2, queue_rows=8)


def test_more_rows_than_may_wait_are_turned_away():
    """503 with a time to try again when the queue is full, 413 for one request that could never fit."""

    async def scenario(batcher, model):
        model.gate.clear()
        held = asyncio.ensure_future(batcher([0]))
        await until(lambda: model.batches)
        waiting = [asyncio.ensure_future(batcher([1, 2])) for _ in range(2)]
        await until(lambda: batcher.waiting_rows == 4)
        with pytest.raises(Problem) as refused:
            await batcher([3])
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert refused.value.retry_after_s > 0
        with pytest.raises(Problem) as refused:
            await batcher([3] * 5)
        assert refused.value.status == 413
        model.gate.set()
        await asyncio.gather(held, *waiting)
        assert await batcher([3]) == [6]

    run(scenario, queue_rows=4)


def test_rows_whose_caller_has_gone_are_not_computed():
    """A request that gave up while it waited costs the model nothing."""

    async def scenario(batcher, model):
        model.gate.clear()
        held = asyncio.ensure_future(batcher([0]))
        await until(lambda: model.batches)
        gone, stays = asyncio.ensure_future(batcher([1])), asyncio.ensure_future(batcher([2]))
        await until(lambda: batcher.waiting_rows == 2)
        gone.cancel()
        model.gate.set()
        await asyncio.gather(held, stays)
        assert model.batches == [[0], [2]]

    run(scenario)
