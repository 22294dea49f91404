"""Poll a remote job until it ends."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(
    look: Callable[[], T | None], *, interval_s: float, max_failures: int, failure: type[Exception]
) -> T:
    """Call `look` until it returns something other than None, and return that.

    Args:
        look: Asks for the state of the job; None while it is running.
        interval_s: Seconds between two calls.
        max_failures: Calls in a row that may raise `failure`: the job goes on even if nobody can see it.
        failure: Error of a call that is tried again.

    Raises:
        failure: One more call in a row failed.
    """
    from tenacity import (
        Retrying,
        retry_if_exception_type,
        retry_if_result,
        stop_after_attempt,
        wait_fixed,
    )

    one_look = Retrying(
        retry=retry_if_exception_type(failure),
        stop=stop_after_attempt(max_failures + 1),
        wait=wait_fixed(interval_s),
        reraise=True,
    )
    until_ended = Retrying(retry=retry_if_result(lambda found: found is None), wait=wait_fixed(interval_s))
    return until_ended(one_look, look)
