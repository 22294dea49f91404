"""A whole request as one row, for a model's answer that is not one prediction a row.

A server sends such a row where a caller gives ``params``, or where the model returns another number of predictions. It is
plain JSON, so that it passes through queues and between processes like any row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

#: The only key of such a row.
REQUEST = "mlflow.request"


def as_row(rows: Sequence[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """A request with several rows, and with values for ``params`` of the signature, as one row."""
    return {REQUEST: {"rows": list(rows), "params": dict(params)}}


def is_request(row: Any) -> bool:
    """Whether a row is a whole request."""
    return isinstance(row, dict) and len(row) == 1 and REQUEST in row


def unpacked(row: Any) -> tuple[list[Any], dict[str, Any]]:
    """The rows and params of a whole request."""
    request = row[REQUEST]
    return request["rows"], request["params"]
