"""Wait for a condition instead of for a time, so that a slow machine makes a test slow and not red."""

import asyncio
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar

T = TypeVar("T")

#: Far longer than any condition takes on a busy machine.
LIMIT_S = 400.0
INTERVAL_S = 0.05


def until(
    condition: Callable[[], T], what: str, details: Callable[[], str] = str, limit_s: float = LIMIT_S
) -> T:
    """Call `condition` until it returns something true, and return that.

    A connection that is refused or a file that is missing counts as "not yet". An AssertionError passes through,
    so a condition can end the wait when it can no longer come true.

    Args:
        what: The event, for the message: "the service is ready".
        details: Gives the rest of the message, a log say.

    Raises:
        AssertionError: The condition did not come true within `limit_s`.
    """
    deadline = time.monotonic() + limit_s
    while not (found := _now(condition)):
        assert time.monotonic() < deadline, f"waited {limit_s:g} s for: {what}\n{details()[-4000:]}"
        time.sleep(INTERVAL_S)
    return found


async def until_async(condition: Callable[[], T], what: str, limit_s: float = LIMIT_S) -> T:
    """`until` for a test that runs in an event loop; other tasks go on meanwhile."""
    deadline = time.monotonic() + limit_s
    while not (found := _now(condition)):
        assert time.monotonic() < deadline, f"waited {limit_s:g} s for: {what}"
        await asyncio.sleep(INTERVAL_S / 10)
    return found


def _now(condition: Callable[[], T]) -> T | None:
    try:
        return condition()
    except (OSError, HTTPException):
        return None
