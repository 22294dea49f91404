"""Micro-batching without a timer: rows that arrive while the model is busy form the next batch.

An idle model is called at once, with everything that arrived in the same turn of the event loop. Under load batches
grow by themselves, because more rows arrive during each call.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from serving.blocking_calls import gather
from serving.inference.jobs import Job, settle
from serving.web.problems import Problem

#: Part of the time-out for a call with rows of several callers. When it hangs, each caller's rows have the
#: rest alone, and so the row that hangs is answered after one time-out.
SHARED = 0.25
#: Outcomes of a batch whose answers cannot be sent together: each job needs a call of its own.
APART: list[Any] = []
#: Gets the outcome of each job (predictions or an exception; None for all when the call took too long, or `APART`), and seconds.
Done = Callable[[list[Any] | None, float], None]


class Executor(Protocol):
    """Calls a model with one batch at a time. All methods belong to the event loop's thread."""

    #: Called when batches are taken again, or when the trouble changes.
    changed: Callable[[], None]

    @property
    def ready(self) -> bool:
        """Whether a batch can be called now; otherwise `changed` is called when it can."""
        ...

    @property
    def trouble(self) -> Problem | None:
        """Why no batch is called now, when that is not over in a moment."""
        ...

    def start(self, jobs: list[Job], timeout_s: float, done: Done) -> tuple[list[Any], float] | None:
        """Call the model with a batch: `done` gets the outcomes; or they are returned at once.

        Raises:
            Exception: The model was not called: the rows cannot be sent to it, or not all of them together.
        """
        ...


class Batcher:
    """Calls one model version for many callers. All methods belong to the event loop's thread.

    Args:
        executor: Calls the model.
        batch_rows: Most rows in one call; a caller with more is served in several.
        queue_rows: Most rows that wait.
        timeout_s: Longest time of a caller's rows in the model. A call with rows of several callers that takes
            longer than its part of it (`SHARED`) is stopped, and each caller's rows are tried again alone, in
            turns with the batches of the others. If none of them hangs, the model is slow: its calls have the
            whole time, until one with as many rows takes less than half of that part. A model that was slow
            once, as in its first call, so gets its shared time-out back. Each time that it is slow again, twice
            as many fast calls are needed, so that few calls of a model that is slow now and then are stopped.
        on_batch: Gets rows and seconds of each call.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        batch_rows: int,
        queue_rows: int,
        timeout_s: float,
        on_batch: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._executor, self._on_batch = executor, on_batch
        executor.changed = self._changed
        self.batch_rows, self.queue_rows, self.timeout_s = batch_rows, queue_rows, timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()
        self.waiting_rows = 0
        #: Jobs of a call that took too long. One of them was the reason, and the others must not pay for it.
        self._suspects: deque[Job] = deque()
        self._suspect_last = False
        #: Whether the reason was found, or may have been the row of a caller who has left.
        self._reason_found = False
        #: Rows of the call that took too long.
        self._slow_rows = 0
        #: Fast calls until the shared time-out is back, and how many the next slow call will need.
        self._fast_left, self._fast_needed = 0, 1
        self._limit(SHARED)
        self._gathering = self._calling = False

    def __call__(self, rows: Sequence[Any]) -> Awaitable[list[Any]]:
        """Predictions for `rows`, in order.

        Raises:
            Problem: 503 when too many rows wait or the model is in trouble, 413 when these alone are too many, 504
                when the model took too long, 500 when its answer has the wrong form.
            Exception: What the model raised on these rows.
        """
        if trouble := self._executor.trouble:
            raise trouble
        require_room(len(rows), self.waiting_rows, self.queue_rows)  # for all of them, before any is queued
        size = self.batch_rows
        if len(rows) <= size:
            return self._enqueue(rows)
        parts = [self._enqueue(rows[at : at + size], at) for at in range(0, len(rows), size)]
        return _joined(parts)

    async def drain(self) -> None:
        """Wait until every row that waits is answered.

        A caller who leaves, or whose time is over, takes its rows along, so this ends.
        """
        while self._waiting or self._suspects or self._calling:
            await asyncio.sleep(0.01)

    def _enqueue(self, rows: Sequence[Any], first: int = 0) -> "asyncio.Future[list[Any]]":
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append(Job(rows, first, future))
        self.waiting_rows += len(rows)
        if not self._gathering and not self._calling:
            self._gathering = True
            gather(self._loop, self._gathered, self._dispatch)
        return future

    def _gathered(self) -> int:
        """Rows that wait; 0 once they fill a batch, which need not be gathered any longer."""
        return self.waiting_rows if self.waiting_rows < self.batch_rows else 0

    def _changed(self) -> None:
        """Answer those who wait for a model in trouble; else go on."""
        if trouble := self._executor.trouble:
            jobs = [*self._suspects, *self._waiting]
            self._suspects.clear()
            self._waiting.clear()
            self.waiting_rows = 0
            settle(jobs, [trouble] * len(jobs))
        elif not self._calling:
            self._dispatch()

    def _dispatch(self) -> None:
        self._gathering = False
        while (self._waiting or self._suspects) and not self._calling and self._executor.ready:
            if not (jobs := self._next_batch()):
                continue
            self._calling = True
            limit_s = (
                self._alone_s if self._suspect_last else self._shared_s if len(jobs) > 1 else self.timeout_s
            )
            try:
                computed = self._executor.start(
                    jobs, limit_s, lambda *about, jobs=jobs: self._done(jobs, *about)
                )
            except Exception as error:  # the model was not called: this says nothing about its speed
                self._calling = False
                if len(jobs) > 1:
                    self._take_back(jobs)
                    continue
                computed = [error], 0.0
            if computed:
                self._calling = False
                self._settle(jobs, *computed)

    def _take_back(self, jobs: list[Job]) -> None:
        """Let jobs that cannot be sent or answered together wait again, at the front, for a call of each alone."""
        for job in reversed(jobs):
            job.alone = True
            self._waiting.appendleft(job)
            self.waiting_rows += len(job.rows)

    def _next_batch(self) -> list[Job]:
        self._suspect_last = bool(self._suspects) and not (self._waiting and self._suspect_last)
        if self._suspect_last:
            job = self._suspects.popleft()
            self._reason_found |= job.future.done()
            return [] if job.future.done() else [job]
        jobs: list[Job] = []
        free_rows = self.batch_rows
        while self._waiting and len(self._waiting[0].rows) <= free_rows:
            job = self._waiting.popleft()
            self.waiting_rows -= len(job.rows)
            if not job.future.done():  # done: its caller has given up
                jobs.append(job)
                free_rows -= len(job.rows)
                if job.alone:
                    break
        return jobs

    def _limit(self, shared: float) -> None:
        """Set the times of a call with rows of several callers, and of a caller's rows that are tried again."""
        self._shared_s = self.timeout_s * shared
        self._alone_s = self.timeout_s * (1 - shared) or self.timeout_s

    def _done(self, jobs: list[Job], outcomes: list[Any] | None, seconds: float) -> None:
        self._calling = False
        if outcomes is APART:
            self._take_back(jobs)
            self._dispatch()
            return
        # Counted with the callers who have left: the row that hangs may have been one of theirs.
        if outcomes is None and len(jobs) > 1:
            self._reason_found = False
            self._slow_rows = sum(len(job.rows) for job in jobs)
            self._suspects += jobs
            jobs = []
        elif outcomes is None:
            self._reason_found = True
        elif self._suspect_last and not self._suspects and not self._reason_found:
            self._limit(1.0)
            self._fast_left, self._fast_needed = self._fast_needed, 2 * self._fast_needed
        elif self._was_fast(jobs, outcomes, seconds):
            self._fast_left -= 1
            if self._fast_left <= 0:
                self._limit(SHARED)
        self._dispatch()  # the model goes on while the answers go out
        if outcomes is None:
            detail = f"The model did not answer within {self.timeout_s:g} s (serving.predict_timeout_s)."
            outcomes = [Problem(HTTPStatus.GATEWAY_TIMEOUT, "model_timeout", detail) for _ in jobs]
        self._settle(jobs, outcomes, seconds)

    def _was_fast(self, jobs: list[Job], outcomes: list[Any], seconds: float) -> bool:
        """Whether a call with as many rows as the slow one took little time. One that only failed shows nothing."""
        rows = sum(len(job.rows) for job in jobs)
        answered = not all(isinstance(outcome, BaseException) for outcome in outcomes)
        fast = seconds < self.timeout_s * SHARED / 2
        return len(jobs) > 1 and rows >= self._slow_rows and answered and fast

    def _settle(self, jobs: list[Job], outcomes: list[Any], seconds: float) -> None:
        settle(jobs, outcomes)
        if jobs:
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
