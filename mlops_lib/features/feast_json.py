"""Values of several parts (Map, Json, Struct, lists of texts) as one JSON text."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mlops_lib.features.feast_scalars import python_value


def json_text(value: Any) -> str | None:
    """The one JSON text of a value of several parts, however a store returns it; None for a missing value.

    Members without a value are left out: Feast's online stores do not keep them.
    """
    if python_value(value) is None:
        return None
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Values of pandas, NumPy and Feast as values of JSON."""
    if isinstance(value, str):
        try:
            return _plain(json.loads(value)) if value[:1] in "{[" else value
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, Iterable):
        items = list(value)
        pairs = bool(items) and all(isinstance(item, tuple) and len(item) == 2 for item in items)
        return _plain(dict(items)) if pairs else [_plain(item) for item in items]
    return str(value)
