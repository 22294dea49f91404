"""`poll` waits for the end of a remote job, and survives some failed calls."""

import pytest

from mlops_lib.polling import poll


def job(*answers):
    """A job that gives these answers one after another; an exception is raised."""
    left = list(answers)

    def look():
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return look


def ended(*answers, max_failures=1):
    """The result of polling such a job without a pause."""
    return poll(job(*answers), interval_s=0, max_failures=max_failures, failure=ConnectionError)


def test_polling_ends_with_the_first_result():
    """None means that the job is running; any other value is the result, an empty text too."""
    assert ended(None, None, "", "late") == ""


def test_failures_are_counted_in_a_row():
    """A call that succeeds resets the count."""
    failed = ConnectionError("away")
    assert ended(failed, None, failed, None, failed, "done") == "done"


def test_too_many_failures_end_it():
    """The last error is raised as it is."""
    with pytest.raises(ConnectionError, match="still away"):
        ended(ConnectionError("away"), ConnectionError("still away"), "done")


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_other_errors_end_it_at_once(error):
    """A bug or Ctrl-C is not tried again."""
    with pytest.raises(type(error)):
        ended(error, "done")
