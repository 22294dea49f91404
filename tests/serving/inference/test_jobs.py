"""Jobs of several callers in one call: a value that is refused costs its own caller the answer, and no other."""

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from mlops_lib.columns.encode import BadValue
from serving.inference.jobs import MAX_SPLITS, Job, run


def answered(*jobs: list[int]) -> tuple[list[Any], list[int]]:
    """Outcomes of jobs at a model that refuses negative numbers, and the sizes of its calls."""
    sizes: list[int] = []

    def predict(rows: list[int]) -> np.ndarray:
        sizes.append(len(rows))
        for number, row in enumerate(rows):
            if row < 0:
                raise BadValue(number, "x", row, "positive")
        return np.array(rows) * 2

    futures: list[Any] = [Future() for _ in jobs]
    return run(predict, [Job(rows, 10, future) for rows, future in zip(jobs, futures, strict=True)]), sizes


def test_the_others_stay_together_without_a_job_that_is_refused():
    """One call for all, one for the others, one for the bad job; its row is counted from its caller's first."""
    found, sizes = answered([1, 2], [3], [4, -5, 6], [7])
    assert [found[0], found[1], found[3]] == [[2, 4], [6], [14]]
    assert isinstance(found[2], BadValue) and found[2].row == 11
    assert sizes == [7, 4, 3]


@pytest.mark.parametrize("bad", [MAX_SPLITS, MAX_SPLITS + 3])
def test_many_jobs_that_are_refused_cost_no_more_than_each_alone(bad):
    """After some calls of the others together, each job is tried alone."""
    found, sizes = answered(*[[-1]] * bad, *[[1]] * 5)
    assert [isinstance(one, BadValue) for one in found] == [True] * bad + [False] * 5
    assert len(sizes) <= 2 * MAX_SPLITS + bad + 7
