"""Decoding of JSON bodies. A body that cannot be decoded is a problem that says why."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec

from serving.web.problems import Problem, invalid_input

T = TypeVar("T")
#: Exceptions of msgspec for a body that is not JSON. Catch its ValidationError (JSON of another type) first:
#: that is a DecodeError too.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(decoder: Callable[[bytes], T], body: bytes) -> T:
    """A body, decoded.

    Raises:
        Problem: 400 for a body that is not JSON; 422 for JSON of another type.
    """
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise invalid_input(f"{error}.") from None
    except NOT_JSON as error:
        raise not_json(error, body) from None


def not_json(error: Exception, body: bytes) -> Problem:
    """The answer to a body that is not JSON."""
    # Python's json module writes these two names, which are not JSON.
    named = [name for name in ("NaN", "Infinity") if name.encode() in body]
    hint = f" JSON has no {named[0]}: send null for a missing value." if named else ""
    if body.startswith((BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)):
        hint = " It begins with a byte order mark: send UTF-8 without one."
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_json", f"The body is not JSON: {error}.{hint}")
