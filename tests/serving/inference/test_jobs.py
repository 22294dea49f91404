"""Jobs of several callers in one call: a value that is refused costs its own caller the answer, and no other."""

import numpy as np
import pytest

from mlops_lib.columns.encode import BadValue
from serving.inference.jobs import Found, run


def answered(*jobs: list[int], as_array: bool = True) -> tuple[Found, list[int]]:
    """What a model that refuses negative numbers answers to jobs, and the sizes of its calls. Zero is not finite."""
    sizes: list[int] = []

    def call(rows: list[int]) -> tuple[np.ndarray | list[int], list[int]]:
        sizes.append(len(rows))
        for number, row in enumerate(rows):
            if row < 0:
                raise BadValue(number, "x", row, "positive")
        doubled = np.array(rows) * 2
        bad = [place for place, row in enumerate(rows) if row == 0]
        return (doubled if as_array else doubled.tolist()), bad

    return run(call, jobs), sizes


@pytest.mark.parametrize("as_array", [True, False])
def test_a_job_that_is_refused_fails_alone(as_array):
    """Its row is counted from its own first; places of the others are those among the predictions that are left."""
    found, sizes = answered([1, 2], [3], [4, -5, 6], [0, 7], as_array=as_array)
    assert list(found.predictions) == [2, 4, 6, 0, 14] and found.bad == [3]
    assert isinstance(found.predictions, np.ndarray) == as_array
    assert list(found.failed) == [2] and found.failed[2].row == 1  # type: ignore[attr-defined]
    assert sizes == [8, 3, 5, 3, 2]


def test_one_bad_job_of_many_costs_few_calls():
    """The others are called in halves, and not one by one."""
    for place in range(64):
        found, sizes = answered(*[[1]] * place, [-1], *[[1]] * (63 - place))
        assert list(found.failed) == [place] and len(found.predictions) == 63
        assert len(sizes) == 13 and sum(sizes) < 4 * 64


def test_all_jobs_may_fail():
    """Each job has its own reason."""
    found, sizes = answered(*([-number] for number in range(1, 6)))
    assert [found.failed[number].value for number in range(5)] == [-1, -2, -3, -4, -5]  # type: ignore[attr-defined]
    assert not len(found.predictions) and len(sizes) == 9
