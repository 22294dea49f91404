"""JSON bodies of every route: decoded, or a problem that says what is wrong with them."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec

from serving.web.problems import Problem, misfit

T = TypeVar("T")
#: What msgspec raises for a body that is no JSON. Its ValidationError, for JSON that does not fit, is a DecodeError
#: too: catch that one first.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(decoder: Callable[[bytes], T], body: bytes) -> T:
    """What `decoder` makes of a body.

    Raises:
        Problem: 400 for a body that is no JSON; 422 for one that does not fit.
    """
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise misfit(f"{error}.") from None
    except NOT_JSON as error:
        raise not_json(error, body) from None


def not_json(error: Exception, body: bytes) -> Problem:
    """The answer to a body that is no JSON."""
    # Python's json writes these two names; no other language reads them.
    named = [name for name in ("NaN", "Infinity") if name.encode() in body]
    hint = f" JSON has no {named[0]}: send null for a missing value." if named else ""
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_json", f"The body is not JSON: {error}.{hint}")
