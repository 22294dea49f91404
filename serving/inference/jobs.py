"""Jobs: the rows of several callers, answered in one call of the model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_lib.columns.encode import BadValue
from serving.blocking_calls import Interrupted, future_error
from serving.inference.predictions import as_list, require_finite
from serving.web.problems import Problem

#: Times that a batch is called again without a job that it failed at.
MAX_SPLITS = 4


class Job:
    """Rows of one caller, at most a batch of them; `first` is the number of the first among the caller's rows."""

    __slots__ = ("first", "future", "rows")

    def __init__(self, rows: Sequence[Any], first: int, future: "asyncio.Future[list[Any]]") -> None:
        self.rows, self.first, self.future = rows, first, future


def run(predict: Callable[[list[Any]], Any], jobs: list[Job], splits: int = MAX_SPLITS) -> list[Any]:
    """Call the model with the rows of all jobs; predictions or an exception for each job.

    A bad row of one caller must not fail another caller. When the call fails at a value, the job with the value is tried
    alone, and the others together; when it fails for another reason, or `splits` times, each job is tried alone.
    """
    rows = [row for job in jobs for row in job.rows] if len(jobs) > 1 else list(jobs[0].rows)
    try:
        predictions, bad = as_list(predict(rows), len(rows))
    except Interrupted:
        raise
    except BaseException as error:  # a model may raise anything, SystemExit too; the service lives on
        if len(jobs) > 1:
            if splits and isinstance(error, BadValue) and (number := _job_of(error.row, jobs)) is not None:
                found = run(predict, jobs[:number] + jobs[number + 1 :], splits - 1)
                return [*found[:number], *run(predict, [jobs[number]]), *found[number:]]
            return [run(predict, [job])[0] for job in jobs]
        return [_of_caller(future_error(error), jobs[0])]
    return [predictions] if len(jobs) == 1 and not bad else outcomes(jobs, predictions, bad, {})


def outcomes(
    jobs: list[Job], predictions: list[Any], bad: list[int], failed: Mapping[int, Exception]
) -> list[Any]:
    """Predictions or an exception for each job.

    Args:
        predictions: One a row, without the rows of failed jobs.
        bad: Places in `predictions` whose numbers are not all finite.
        failed: Number of a job -> why it failed.
    """
    found: list[Any] = []
    start = 0
    for number, job in enumerate(jobs):
        if error := failed.get(number):
            found.append(_of_caller(error, job))
            continue
        end = start + len(job.rows)
        try:
            if bad:
                require_finite(bad, start, len(job.rows), job.first)
            found.append(predictions[start:end])
        except Problem as problem:
            found.append(problem)
        start = end
    return found


def _job_of(row: int, jobs: list[Job]) -> int | None:
    """The number of the job that has a row of the batch; None where the row is beyond it."""
    for number, job in enumerate(jobs):
        row -= len(job.rows)
        if row < 0:
            return number
    return None


def _of_caller(error: Exception, job: Job) -> Exception:
    """The error, with its row counted from the caller's first one."""
    if isinstance(error, BadValue):
        return BadValue(error.row + job.first, error.column, error.value, error.wanted)
    return error


def settle(jobs: list[Job], outcomes: list[Any]) -> None:
    """Give each caller its predictions or its exception."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future.done():  # its caller has given up
            continue
        if isinstance(outcome, BaseException):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
