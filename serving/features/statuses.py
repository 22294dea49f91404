"""Where the features of a request came from, as the answer tells its caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

HEADER = "X-Features-Status"


class Troubled(NamedTuple):
    """A feature of a row for which the store had no usable value."""

    row: int
    feature: str
    status: str
    why: str


@dataclass(frozen=True)
class Statuses:
    """Where the features of a request came from.

    Attributes:
        counts: Status -> number of values. Statuses: ``request``, ``online``, ``cache``, ``default:<why>``,
            ``last_known:<why>``, ``reject:<why>``.
        troubled: The values that a policy chose.
    """

    counts: Mapping[str, int]
    troubled: tuple[Troubled, ...] = ()

    @property
    def header(self) -> str:
        """Value of X-Features-Status: ``default:stale=1, online=6``."""
        return ", ".join(f"{status}={count}" for status, count in sorted(self.counts.items()))

    @property
    def field(self) -> dict[str, Any]:
        """The `features` field of an answer."""
        return {"counts": dict(self.counts), "troubled": [t._asdict() for t in self.troubled]}


class EnrichedRows(NamedTuple):
    """Rows with all the model's columns, and where their features came from."""

    rows: list[dict[str, Any]]
    statuses: Statuses
