"""Batches of a model in a process of its own."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import numpy as np

from mlops_lib.errors import ModelError
from serving.inference.batching import APART, Done
from serving.inference.jobs import Job
from serving.inference.jobs import outcomes as outcomes_of_jobs
from serving.isolation.failures import exception
from serving.isolation.messages import Answers, Batch, Event, Failed
from serving.isolation.wire import Exact
from serving.processes.process import GRACE_S, Ended, ModelProcess
from serving.processes.supervisor import Supervisor
from serving.web.problems import Problem

log = logging.getLogger("serving")


class BatchExecutor:
    """Calls a model's process with one batch at a time. See `serving.inference.batching.Executor`."""

    changed: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        supervisor.changed = lambda: self.changed()

    @property
    def ready(self) -> bool:
        """See `Executor`."""
        return self._supervisor.running is not None

    @property
    def trouble(self) -> Problem | None:
        """See `Executor`."""
        return self._supervisor.trouble

    def start(self, jobs: list[Job], timeout_s: float, done: Done) -> tuple[list[Any], float] | None:
        """See `Executor`."""
        assert self._supervisor.running
        _BatchCall(self._supervisor, self._supervisor.running, jobs, timeout_s, done)
        return None


class _BatchCall:
    """One batch on its way: interrupted when it takes too long, and its process replaced if that does not end it."""

    def __init__(
        self, supervisor: Supervisor, process: ModelProcess, jobs: list[Job], timeout_s: float, done: Done
    ) -> None:
        self._supervisor, self._process, self._jobs, self._done = supervisor, process, jobs, done
        self._loop = asyncio.get_running_loop()
        self._began, self._is_late = self._loop.time(), False
        rows = Exact([job.rows for job in jobs])
        self._number = process.call(lambda number: Batch(number, rows), self._answered)
        self._timer = self._loop.call_later(timeout_s, self._late)

    def _late(self) -> None:
        self._is_late = True
        self._process.interrupt()
        self._timer = self._loop.call_later(GRACE_S, self._kill)

    def _kill(self) -> None:
        self._process.drop(self._number)
        self._process.kill(f"{self._described()} could not be stopped")
        self._finish(None)

    def _answered(self, message: Any) -> None:
        if isinstance(message, Event):  # a batch has none
            return
        self._timer.cancel()
        if isinstance(message, Answers):
            self._supervisor.health.answered()
            self._finish(outcomes(self._jobs, message), message.seconds)
        elif self._is_late:
            if isinstance(message, Failed):
                log.warning(
                    "%s: %s was stopped.\n%s", self._supervisor.name, self._described(), message.traceback
                )
            self._supervisor.took_too_long()
            self._finish(None)
        elif isinstance(message, Failed) and len(self._jobs) > 1:
            # Rows that fail are in `Answers`. Here all answers together are too large for one message.
            self._finish(APART)
        else:
            self._finish([_error(message)] * len(self._jobs))

    def _described(self) -> str:
        rows, seconds = sum(len(job.rows) for job in self._jobs), self._loop.time() - self._began
        return f"a call with {rows} rows of {len(self._jobs)} requests, which took {seconds:.1f} s,"

    def _finish(self, result: list[Any] | None, seconds: float = -1.0) -> None:
        self._done(result, seconds if seconds >= 0 else self._loop.time() - self._began)


def _error(message: Any) -> Exception:
    if isinstance(message, Ended):
        return crashed(message)
    if isinstance(message, Failed):
        return exception(message)
    return ModelError(f"its process sent {type(message).__name__} for a batch")


def outcomes(jobs: list[Job], answers: Answers) -> list[Any]:
    """Predictions or an exception for each job."""
    predictions = as_rows(answers.predictions)
    rows = sum(len(job.rows) for number, job in enumerate(jobs) if number not in answers.failed)
    if len(predictions) != rows:
        return [wrong_count(len(predictions), rows) for _ in jobs]
    failed = {number: exception(one) for number, one in answers.failed.items()}
    return outcomes_of_jobs(jobs, predictions, answers.bad, failed)


def as_rows(predictions: Any) -> list[Any]:
    """Predictions as they came from a process, as a list; empty for anything else."""
    if isinstance(predictions, np.ndarray) and predictions.ndim:
        return predictions.tolist()
    return predictions if isinstance(predictions, list) else []


def wrong_count(predictions: int, rows: int) -> Problem:
    """The answer for a process that has not sent one prediction a row."""
    detail = f"The model's process sent {predictions} predictions for {rows} rows."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "wrong_prediction_count", detail)


def crashed(ended: Ended) -> Problem:
    """The answer to those whose rows were in the process when it ended."""
    detail = f"The model failed on the rows of this call: {ended}. It is started again."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model_crashed", detail)
