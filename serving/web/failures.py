"""The log of requests that were not answered as asked; bounded."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("serving")
#: Most lines of one kind in as many seconds.
MAX_LINES, WINDOW_S = 10, 60.0


@dataclass
class _Seen:
    """Lines of one kind since a time of `time.monotonic()`."""

    level: int
    began: float
    count: int = 0


class Failures:
    """The log of requests that were not answered as asked, without bodies and headers.

    Of lines that differ only in their request, `MAX_LINES` are written in `WINDOW_S`,
    then one with the number of the others: a caller's loop or a broken model must not fill the disk.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[tuple[str, Any], ...], _Seen] = {}

    def log(
        self, level: int, kind: Mapping[str, Any], error: BaseException | None = None, **request: Any
    ) -> None:
        """Log a failure.

        Args:
            kind: Fields that lines of one kind have in common. Empty ones are left out.
            error: For a traceback.
            request: Fields of this request alone.
        """
        kind = {name: value for name, value in kind.items() if value}
        seen = self._seen.setdefault(tuple(kind.items()), _Seen(level, time.monotonic()))
        seen.count += 1
        if seen.count <= MAX_LINES:
            log.log(level, "request failed", extra={**kind, **request}, exc_info=error)

    def report_left_out(self, window_s: float = WINDOW_S) -> None:
        """Log how many lines were left out of each window that is over."""
        now = time.monotonic()
        for kind, seen in list(self._seen.items()):
            if now >= seen.began + window_s:
                del self._seen[kind]
                if (left_out := seen.count - MAX_LINES) > 0:
                    log.log(seen.level, "more requests failed", extra={**dict(kind), "left_out": left_out})


#: Of this process.
failures = Failures()
