"""One value of an answer for every route: what a model returns, as values of JSON."""

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID


def plain(value: Any) -> Any:
    """A value with the types of JSON.

    A message of LangChain is its text, without reasoning; a pydantic model, a dataclass or a NamedTuple is an
    object; tuples and sets are lists; NumPy's values are numbers and lists. Numbers that are not finite, and
    pandas' missing values, are null.

    Raises:
        TypeError: The value has no form in JSON.
    """
    if value is None or isinstance(value, bool | int):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if is_message(value):
        return str(value.text)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, AbstractSet):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # of NumPy
        return plain(value.tolist())
    return _other(value)


def _key(key: Any) -> str:
    found = plain(key)
    return found if isinstance(found, str) else str(found)


def _other(value: Any) -> Any:
    if type(value).__name__ in ("NaTType", "NAType"):  # missing, for pandas
        return None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, Decimal):
        return plain(float(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "to_dict"):  # of pandas
        return plain(value.to_dict("records") if hasattr(value, "columns") else value.to_dict())
    if hasattr(value, "page_content"):  # a document of LangChain
        return {"page_content": value.page_content, "metadata": plain(value.metadata)}
    raise TypeError(
        f"An answer holds a {type(value).__module__}.{type(value).__qualname__}, which has no form in JSON. Answer with text, "
        "numbers, lists, dictionaries, dataclasses or pydantic models."
    )


def as_text(value: Any) -> str:
    """A plain value where a text is wanted: a text as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_message(value: Any) -> bool:
    """Whether a value is a message of LangChain."""
    return hasattr(value, "content") and hasattr(value, "response_metadata")
