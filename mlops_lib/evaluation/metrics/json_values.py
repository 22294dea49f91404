"""Answers and references that are JSON, compared as values."""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

#: The value of a text that is no JSON object or list. JSON's null is None.
NONE: Any = object()


def parsed(text: str) -> Any:
    """The object or list that a text is, else `NONE`: a bare number or word is text."""
    if text.strip()[:1] not in ("{", "["):
        return NONE
    try:
        return json.loads(text)
    except ValueError:
        return NONE


def equal(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same: 1 is 1.0 and no true; the order of keys does not count."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    return bool(one == other)


def fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The path and value of each field that is no object and no list, or an empty one."""
    if isinstance(value, dict | list) and value:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from fields(part, (*path, key))
    else:
        yield path, value
