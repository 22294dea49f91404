"""Jobs: the rows of several callers, answered in one call of the model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.columns.encode import BadValue
from serving.blocking_calls import Interrupted
from serving.inference.predictions import require_finite
from serving.web.problems import Problem


class Job:
    """Rows of one caller, at most a batch of them.

    Attributes:
        first: Number of the first row among the caller's rows.
        alone: The rows need a call of their own.
    """

    __slots__ = ("alone", "first", "future", "rows")

    def __init__(self, rows: Sequence[Any], first: int, future: "asyncio.Future[list[Any]]") -> None:
        self.rows, self.first, self.future = rows, first, future
        self.alone = False


class Found(NamedTuple):
    """What a model answers to jobs.

    Attributes:
        predictions: One a row, without the rows of failed jobs: an array or a list.
        bad: Places in `predictions` whose numbers are not all finite.
        failed: Number of a job -> why it failed.
    """

    predictions: Any
    bad: list[int]
    failed: dict[int, BaseException]


def run(call: Callable[[list[Any]], tuple[Any, list[int]]], jobs: Sequence[Sequence[Any]]) -> Found:
    """Call the model with the rows of all jobs.

    If the call fails, each half of the jobs is tried, down to single jobs.
    So a bad row of one caller does not fail another caller, and costs few calls more.

    Args:
        call: Rows to their predictions, one a row, and the places of those that are not finite. It may
            raise anything.

    Raises:
        Interrupted: The call took too long.
    """
    try:
        return Found(*call([row for rows in jobs for row in rows]), {})
    except Interrupted:
        raise
    except BaseException as error:  # a model may raise anything, SystemExit too; the service lives on
        if len(jobs) == 1:
            return Found([], [], {0: error})
    half = len(jobs) // 2
    one = run(call, jobs[:half])
    if isinstance(one.predictions, np.ndarray):  # a model may fill the same array again for the next call
        one = one._replace(predictions=one.predictions.copy())
    other = run(call, jobs[half:])
    places = [len(one.predictions) + place for place in other.bad]
    failed = one.failed | {half + number: error for number, error in other.failed.items()}
    return Found(_together(one.predictions, other.predictions), one.bad + places, failed)


def _together(one: Any, other: Any) -> Any:
    if not len(one) or not len(other):
        return one if len(one) else other
    arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    if arrays and (one.dtype, one.shape[1:]) == (other.dtype, other.shape[1:]):
        return np.concatenate([one, other])
    return [row for part in (one, other) for row in (part.tolist() if isinstance(part, np.ndarray) else part)]


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
