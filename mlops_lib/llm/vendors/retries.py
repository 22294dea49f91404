"""Which failed calls of a vendor are tried again, and when: the rules of the vendors' own SDKs."""

import math
import random
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

#: A vendor that asks for a longer wait is not asked again.
MAX_RETRY_AFTER_S = 120.0
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 8.0
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)


def may_retry(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a refused call may be sent again."""
    if (after_s := retry_after_s(headers)) is not None and after_s > MAX_RETRY_AFTER_S:
        return False
    wanted = headers.get("x-should-retry")
    if wanted in ("true", "false"):
        return wanted == "true"
    return status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def wait_s(attempt: int, headers: Mapping[str, str]) -> float:
    """Seconds before the next try: what the vendor asks for, else a time that doubles,
    less up to a quarter by chance.

    Args:
        attempt: Tries that failed before this one.
        headers: Of the refusal; empty where there was no answer.
    """
    after_s = retry_after_s(headers)
    if after_s is not None and 0 < after_s <= MAX_RETRY_AFTER_S:
        return after_s
    return min(FIRST_WAIT_S * 2.0 ** min(attempt, 30), MAX_WAIT_S) * (1 - 0.25 * random.random())


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a vendor asks to wait; None: it names no time that can be read."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_tz(headers["retry-after"])
        return mktime_tz(date) - time.time() if date else None
    except (KeyError, ValueError, OverflowError):
        return None
