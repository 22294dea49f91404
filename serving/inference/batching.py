"""Micro-batching that never waits: rows that arrive while the model is busy form the next batch.

An idle model is called at once, with everything that arrived in the same turn of the event loop. There is
no timer to tune: under load batches grow by themselves, because more arrives during each call.

Calls are made in a thread of their own, with one exception: handing over and back costs more (some 100 us)
than a small graph of native operators, which can neither block nor loop, takes to compute. Such a batch is
computed where it is; see docs/decisions/0301.
"""

import asyncio
import ctypes
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

from mlops_lib.errors import InputError
from serving.inference.predictions import as_list, require_finite
from serving.web.problems import Problem

#: Threads of hung calls that Python cannot stop; beyond this many the process asks to be restarted.
MOST_HUNG = 32


#: Turns of the event loop, at most, in which an idle model's batch is collected from what has arrived.
MOST_TURNS = 8


class _Abandoned(BaseException):
    """Raised inside a thread whose call took too long; no `except Exception` of the model's holds it."""


class BadRow(InputError):
    """What is wrong with one of the rows that a call was given.

    Args:
        row: Counted from the call's first; `Batcher` counts it from its caller's first.
        said: What is wrong with it.
    """

    def __init__(self, row: int, said: str) -> None:
        super().__init__(row, said)
        self.row, self.said = row, said

    def __str__(self) -> str:
        return f"Row {self.row}: {self.said}"


class _Job:
    """One caller's rows, or a batch's worth of them from its row `first` on, on their way through a batch."""

    __slots__ = ("first", "future", "rows")

    def __init__(self, rows: Sequence[Any], first: int, future: "asyncio.Future[list[Any]]") -> None:
        self.rows, self.first, self.future = rows, first, future


class _Worker:
    """A thread that calls the model, batch after batch."""

    def __init__(self, batcher: "Batcher", once: bool) -> None:
        self.inbox: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self.jobs: list[_Job] = []
        self.timer: asyncio.TimerHandle | None = None
        self.once, self.abandoned = once, False
        self.thread = threading.Thread(target=batcher._work, args=(self,), daemon=True, name="model")
        self.thread.start()


class Batcher:
    """Calls one model version for many callers. All methods belong to the event loop's thread.

    Args:
        predict: Rows to predictions, one for each; called in a thread.
        batch_rows: Most rows in one call; a caller with more is served in several.
        queue_rows: Most rows that wait.
        timeout_s: Longest call. A call that takes longer is stopped where Python can stop it and left
            behind where not; when several callers' rows were in it, each one's are tried again alone.
        inline_rows: Batches up to this size are computed on the event loop; 0: none.
        on_batch: Told rows and seconds of each call.
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
        self._predict, self._on_batch = predict, on_batch
        self.batch_rows, self.queue_rows, self.timeout_s = batch_rows, queue_rows, timeout_s
        self.inline_rows = inline_rows
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job] = deque()
        self.waiting_rows = 0
        self._collecting = False
        self._idle = [_Worker(self, once=False)]
        self._busy: set[_Worker] = set()
        self._hung: list[_Worker] = []

    def __call__(self, rows: Sequence[Any]) -> Awaitable[list[Any]]:
        """Predictions for `rows`, in order.

        Raises:
            Problem: 503 when too many rows wait, 413 when these alone are too many, 504 when the model
                took too long, 500 when its answer is no answer.
            Exception: What the model raised on these rows.
        """
        require_room(len(rows), self.waiting_rows, self.queue_rows)  # for all of them, before any is queued
        size = self.batch_rows
        if len(rows) <= size:
            return self._enqueue(rows)
        parts = [self._enqueue(rows[at : at + size], at) for at in range(0, len(rows), size)]
        return _joined(parts)

    @property
    def full(self) -> bool:
        """Whether no further row may wait."""
        return self.waiting_rows >= self.queue_rows

    @property
    def hung(self) -> int:
        """Threads of calls that took too long and still have not ended."""
        self._hung = [worker for worker in self._hung if worker.thread.is_alive()]
        return len(self._hung)

    async def drain(self) -> None:
        """Wait until everything that was asked is answered, then let the threads go."""
        while self._waiting or self._busy:
            await asyncio.sleep(0.01)
        for worker in self._idle:
            worker.inbox.put(None)
        self._idle.clear()

    def _enqueue(self, rows: Sequence[Any], first: int = 0) -> "asyncio.Future[list[Any]]":
        count = len(rows)
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append(_Job(rows, first, future))
        self.waiting_rows += count
        if not self._collecting and self._idle:
            self._collecting = True
            self._loop.call_soon(self._collect, 0, MOST_TURNS)
        return future

    def _collect(self, seen_rows: int, turns: int) -> None:
        """Call the model once a turn of the event loop has brought no further rows.

        This waits for nothing: what has reached the process is taken in, and then the model is called.
        """
        if seen_rows < self.waiting_rows < self.batch_rows and turns:
            self._loop.call_soon(self._collect, self.waiting_rows, turns - 1)
            return
        self._collecting = False
        self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            if not (jobs := self._next_batch()):
                continue
            if sum(len(job.rows) for job in jobs) <= self.inline_rows:
                began = time.perf_counter()
                self._settle(jobs, self._run(jobs), time.perf_counter() - began)
            else:
                self._start(self._idle.pop(), jobs)

    def _next_batch(self) -> list[_Job]:
        jobs: list[_Job] = []
        room = self.batch_rows
        while self._waiting and len(self._waiting[0].rows) <= room:
            job = self._waiting.popleft()
            self.waiting_rows -= len(job.rows)
            if not job.future.done():  # done: its caller has given up
                jobs.append(job)
                room -= len(job.rows)
        return jobs

    def _start(self, worker: _Worker, jobs: list[_Job]) -> None:
        worker.jobs = jobs
        self._busy.add(worker)
        worker.timer = self._loop.call_later(self.timeout_s, self._took_too_long, worker)
        worker.inbox.put(jobs)

    def _done(self, worker: _Worker, outcomes: list[Any], seconds: float) -> None:
        if worker.abandoned:
            return
        assert worker.timer
        worker.timer.cancel()
        jobs, worker.jobs = worker.jobs, []
        self._busy.discard(worker)
        self._settle(jobs, outcomes, seconds)
        if not worker.once:
            self._idle.append(worker)
            self._dispatch()

    def _settle(self, jobs: list[_Job], outcomes: list[Any], seconds: float) -> None:
        """Give each caller its predictions or its error."""
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        self._on_batch(sum(len(job.rows) for job in jobs), seconds)

    def _took_too_long(self, worker: _Worker) -> None:
        worker.abandoned = True
        worker.inbox.put(None)  # for a model that swallows what is raised in it, and returns
        self._busy.discard(worker)
        self._hung.append(worker)
        if worker.thread.is_alive():  # the number of one that has ended may be another thread's by now
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(worker.thread.ident or 0), ctypes.py_object(_Abandoned)
            )
        jobs, worker.jobs = [job for job in worker.jobs if not job.future.done()], []
        if len(jobs) == 1 or self.hung > MOST_HUNG:
            detail = f"The model did not answer within {self.timeout_s} s."
            for job in jobs:
                job.future.set_exception(Problem(HTTPStatus.GATEWAY_TIMEOUT, "model_timeout", detail))
        else:
            for job in jobs:
                self._start(_Worker(self, once=True), [job])
        if not worker.once:
            self._idle.append(_Worker(self, once=False))
            self._dispatch()

    def _work(self, worker: _Worker) -> None:
        """What each thread does."""
        try:
            while (jobs := worker.inbox.get()) is not None:
                began = time.perf_counter()
                outcomes = self._run(jobs)
                self._loop.call_soon_threadsafe(self._done, worker, outcomes, time.perf_counter() - began)
                if worker.once:
                    return
        except _Abandoned:
            pass
        except RuntimeError:  # the event loop is closed: the process ends
            pass

    def _run(self, jobs: list[_Job]) -> list[Any]:
        """For each job its predictions or its exception; a bad row of one caller is nobody else's problem."""
        rows = [row for job in jobs for row in job.rows] if len(jobs) > 1 else list(jobs[0].rows)
        try:
            predictions, bad = as_list(self._predict(rows), len(rows))
        except _Abandoned:
            raise
        except BaseException as error:  # a model may raise anything, SystemExit too; the service lives on
            if len(jobs) == 1:
                if isinstance(error, BadRow):
                    error.row += jobs[0].first
                return [error if isinstance(error, Exception) else RuntimeError(type(error).__name__)]
            return [self._run([job])[0] for job in jobs]
        if len(jobs) == 1 and not bad:
            return [predictions]
        outcomes: list[Any] = []
        start = 0
        for job in jobs:
            end = start + len(job.rows)
            try:
                if bad:
                    require_finite(bad, start, len(job.rows), job.first)
                outcomes.append(predictions[start:end])
            except Problem as problem:
                outcomes.append(problem)
            start = end
        return outcomes


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
    """The answer to a caller whom the service has no room for."""
    detail = f"{waiting_rows} rows wait for the model already. Try again after the time in Retry-After."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, retry_after_s=1)
