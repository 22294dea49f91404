"""Refusals of an LLM vendor: no capacity now, or no money. The caller learns when to try again."""

import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from mlops_lib.llm.transport.call import FINAL_CODES
from serving.web.problems import Problem

#: Seconds to wait where the vendor names none, and for an account without money.
DEFAULT_S, QUOTA_S = 1, 60
#: The longest wait that is passed on.
MAX_S = 3600
#: Statuses of a vendor that is too busy; 529 is Anthropic's.
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529)


def refusal(error: BaseException) -> Problem | None:
    """The answer to a caller whose request an LLM vendor refused for now; None for any other error.

    The vendors' SDKs have no common base class, so their errors are known by `status_code` and `response`.
    """
    for cause in _causes(error):
        status = getattr(cause, "status_code", None)
        if status not in BUSY:
            continue
        if any(code in f"{cause} {getattr(cause, 'code', '')}" for code in FINAL_CODES):
            detail = "The account of the LLM's vendor has no money or quota left. Tell the people who run this service."
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "llm_quota_exceeded", detail, QUOTA_S)
        after_s = _retry_after_s(getattr(getattr(cause, "response", None), "headers", None) or {})
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            detail = "The LLM's vendor takes no more requests now."
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, "llm_rate_limited", detail, after_s)
        detail = "The LLM's vendor is too busy now."
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "llm_overloaded", detail, after_s)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it came from."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [one for one in (current.__context__, current.__cause__) if one is not None]
        waiting += getattr(current, "exceptions", ())


def _retry_after_s(headers: Any) -> int:
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit_s
        except ValueError:  # none, or a date
            continue
        if 0 <= seconds < math.inf:
            return min(max(math.ceil(seconds), 1), MAX_S)
    return DEFAULT_S
