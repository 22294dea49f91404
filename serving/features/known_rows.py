"""Rows of the feature store that this process has read: a cache, and the last known values."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlops_lib.features import OnlineRow

#: Values of an entity's keys.
Key = tuple[Any, ...]


class KnownRows:
    """The last values of each entity.

    Args:
        ttl_s: Seconds for which a row is used without another lookup; 0: it is always looked up.
        max_rows: Rows that are held; beyond, the row that was read longest ago is dropped.
    """

    def __init__(self, ttl_s: float, max_rows: int) -> None:
        self.ttl_s, self.max_rows = ttl_s, max_rows
        #: Entity -> when it was read and its row. The row that was read longest ago comes first.
        self._rows: OrderedDict[Key, tuple[float, OnlineRow]] = OrderedDict()

    def fresh(self, key: Key) -> OnlineRow | None:
        """The row of an entity if it was read within `ttl_s`, without trouble, and has not expired since."""
        if (known := self._rows.get(key)) is None:
            return None
        read_at, online = known
        fresh = read_at > time.monotonic() - self.ttl_s and not online.trouble
        return online if fresh and (online.expires_at is None or online.expires_at > time.time()) else None

    def values(self, key: Key) -> Mapping[str, Any]:
        """The last known values of an entity."""
        known = self._rows.get(key)
        return known[1].values if known else {}

    def add(self, key: Key, online: OnlineRow) -> None:
        """Hold the row that was read now; earlier values of features that it lacks stay."""
        values = {n: v for n, v in online.values.items() if online.trouble.get(n) != "unknown_entity"}
        if key in self._rows:
            values = {**self._rows.pop(key)[1].values, **values}
        if values:
            self._rows[key] = (time.monotonic(), replace(online, values=values))
            if len(self._rows) > self.max_rows:
                self._rows.popitem(last=False)
