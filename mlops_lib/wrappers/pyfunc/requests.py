"""A whole request as one row, for a model's answer that is not one prediction a row."""

from typing import Any, NamedTuple


class WholeRequest(NamedTuple):
    """A request with several rows, and with values for ``params`` of the signature.

    A server sends it where a caller gives ``params``, or where the model returns another number of
    predictions. No JSON of a caller is one.
    """

    rows: list[Any]
    params: dict[str, Any]
