"""Micro-batching without a timer: rows that arrive while the model is busy form the next batch.

An idle model is called at once, with everything that arrived in the same turn of the event loop. Under load batches
grow by themselves, because more rows arrive during each call.

The model is called in a thread, with one exception: a small graph of native operators, which can neither block nor
loop, computes a small batch faster than the batch can be handed to a thread and back (some 100 us). Such a batch is
computed on the event loop; see docs/decisions/0301.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from serving.blocking_calls import MAX_HUNG, Call, DaemonThreads, gather
from serving.inference.jobs import Job, run, settle
from serving.web.problems import Problem


class Batcher:
    """Calls one model version for many callers. All methods belong to the event loop's thread.

    Args:
        predict: Rows to predictions, one for each; called in a thread.
        batch_rows: Most rows in one call; a caller with more is served in several.
        queue_rows: Most rows that wait.
        timeout_s: Longest call. A call that takes longer is interrupted where it runs Python, and left behind where it
            does not. When rows of several callers were in it, each caller's rows are tried again alone.
        inline_rows: Batches up to this size are computed on the event loop; 0: none.
        on_batch: Gets rows and seconds of each call.
    """

    def __init__(
        self,
        predict: Callable[[list[Any]], Any],
        *,
        batch_rows: int,
        queue_rows: int,
        timeout_s: float,
        inline_rows: int = 0,
        on_batch: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._run, self._on_batch = partial(run, predict), on_batch
        self.batch_rows, self.queue_rows, self.timeout_s = batch_rows, queue_rows, timeout_s
        self.inline_rows = inline_rows
        self._loop = asyncio.get_running_loop()
        self._threads = DaemonThreads("model", interrupt=True)
        self._waiting: deque[Job] = deque()
        self.waiting_rows = 0
        #: Calls under way, those that are late not included. The next batch waits for `_batch` alone.
        self._calls: set[Call] = set()
        self._batch: Call | None = None
        self._gathering = False

    def __call__(self, rows: Sequence[Any]) -> Awaitable[list[Any]]:
        """Predictions for `rows`, in order.

        Raises:
            Problem: 503 when too many rows wait, 413 when these alone are too many, 504 when the model
                took too long, 500 when its answer has the wrong form.
            Exception: What the model raised on these rows.
        """
        require_room(len(rows), self.waiting_rows, self.queue_rows)  # for all of them, before any is queued
        size = self.batch_rows
        if len(rows) <= size:
            return self._enqueue(rows)
        parts = [self._enqueue(rows[at : at + size], at) for at in range(0, len(rows), size)]
        return _joined(parts)

    @property
    def hung(self) -> int:
        """Calls that took too long and still have not ended."""
        return self._threads.hung

    async def drain(self) -> None:
        """Wait until every row that waits is answered, then let the threads end."""
        while self._waiting or self._calls:
            await asyncio.sleep(0.01)
        self._threads.close()

    def _enqueue(self, rows: Sequence[Any], first: int = 0) -> "asyncio.Future[list[Any]]":
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append(Job(rows, first, future))
        self.waiting_rows += len(rows)
        if not self._gathering and self._batch is None:
            self._gathering = True
            gather(self._loop, self._gathered, self._dispatch)
        return future

    def _gathered(self) -> int:
        """Rows that wait; 0 once they fill a batch, which need not be gathered any longer."""
        return self.waiting_rows if self.waiting_rows < self.batch_rows else 0

    def _dispatch(self) -> None:
        self._gathering = False
        while self._waiting and self._batch is None:
            if not (jobs := self._next_batch()):
                continue
            if sum(len(job.rows) for job in jobs) <= self.inline_rows:
                began = time.perf_counter()
                outcomes = self._run(jobs)
                self._settle(jobs, outcomes, time.perf_counter() - began)
            else:
                self._batch = self._start(jobs)

    def _next_batch(self) -> list[Job]:
        jobs: list[Job] = []
        free_rows = self.batch_rows
        while self._waiting and len(self._waiting[0].rows) <= free_rows:
            job = self._waiting.popleft()
            self.waiting_rows -= len(job.rows)
            if not job.future.done():  # done: its caller has given up
                jobs.append(job)
                free_rows -= len(job.rows)
        return jobs

    def _start(self, jobs: list[Job]) -> Call:
        call = self._threads.call(self._run, jobs, self.timeout_s, self._done, self._late)
        self._calls.add(call)
        return call

    def _done(self, call: Call, outcomes: list[Any], seconds: float) -> None:
        if call.late:  # its callers have their answer
            return
        self._settle(call.about, outcomes, seconds)
        self._end(call)

    def _late(self, call: Call) -> None:
        waiting = [job for job in call.about if not job.future.done()]
        # Counted with the callers who have left: the row that hangs may have been one of theirs.
        if len(call.about) == 1 or self.hung > MAX_HUNG:
            detail = f"The model did not answer within {self.timeout_s} s."
            for job in waiting:
                job.future.set_exception(Problem(HTTPStatus.GATEWAY_TIMEOUT, "model_timeout", detail))
        else:
            for job in waiting:
                self._start([job])
        self._end(call)

    def _end(self, call: Call) -> None:
        self._calls.discard(call)
        if call is self._batch:
            self._batch = None
            self._dispatch()

    def _settle(self, jobs: list[Job], outcomes: list[Any], seconds: float) -> None:
        settle(jobs, outcomes)
        self._on_batch(sum(len(job.rows) for job in jobs), seconds)


async def _joined(parts: "list[asyncio.Future[list[Any]]]") -> list[Any]:
    return [prediction for part in await asyncio.gather(*parts) for prediction in part]


def require_room(rows: int, waiting_rows: int, queue_rows: int) -> None:
    """Raise a Problem unless `rows` more may wait.

    Raises:
        Problem: 503 when too many wait already, 413 when these alone are too many.
    """
    if rows > queue_rows:
        detail = f"{rows} rows in one request; this service takes at most {queue_rows}."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_rows", detail)
    if waiting_rows + rows > queue_rows:
        raise overloaded(waiting_rows)


def overloaded(waiting_rows: int) -> Problem:
    """The answer to a caller for whom the queue has no room."""
    detail = f"{waiting_rows} rows wait for the model already. Try again after the time in Retry-After."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, retry_after_s=1)
