"""Answers and references that are JSON, compared as values."""

import json
import math
import unicodedata
from collections.abc import Iterator
from typing import Any

#: The value of a text that is no JSON object or list. JSON's null is None.
NONE: Any = object()


def text_of(value: Any) -> str:
    """An answer or reference as text: an object or list as JSON, None as ""."""
    if value is None or isinstance(value, str):
        return value or ""
    if hasattr(value, "model_dump"):  # pydantic's, whose dates and enums only it can write
        value = value.model_dump(mode="json")
    value = value.tolist() if hasattr(value, "tolist") else value
    is_nested = isinstance(value, dict | list | tuple)
    return json.dumps(value, ensure_ascii=False, default=_plain) if is_nested else str(value)


def value_of(value: Any) -> Any:
    """The value of a column of the reference: JSON text as what it means, a missing value as None."""
    value = _lists(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str):
        return value
    return value if (found := parsed(value)) is NONE else found


def _lists(value: Any) -> Any:
    """A value whose arrays are lists: a Parquet file has arrays in its objects."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    for method in ("tolist", "model_dump", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)


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
        ours, theirs = ({composed(key): part for key, part in value.items()} for value in (one, other))
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in ours)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return bool(composed(one) == composed(other))
    return bool(one == other)


def composed(value: Any) -> Any:
    """A text in Unicode's form NFC, and any other value as it is."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The path and value of each field that is no object and no list, or an empty one."""
    if isinstance(value, dict | list) and value:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from fields(part, (*path, composed(key)))
    else:
        yield path, value
