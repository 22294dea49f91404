"""Structured logs: one JSON object a line on standard error, without secrets. Bodies and headers are never in them."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_lib.redact.output import mask_output, unmasked

log = logging.getLogger("serving")
#: Fields that ``extra=`` may add.
EXTRA = ("request_id", "method", "route", "status", "ms", "error", "version", "at", "left_out")
#: Most lines of one kind in as many seconds.
MAX_LINES, WINDOW_S = 10, 60.0


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, with a traceback in the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        seconds, fraction = divmod(record.created, 1)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(fraction * 1e3):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in EXTRA if hasattr(record, name)}
        if record.exc_info:
            record.exc_text = self.formatException(record.exc_info)
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def configure() -> None:
    """Send the service's log to standard error, and turn off uvicorn's access log.

    A line for each request costs more than the answer. Failures are logged here; /metrics counts requests.
    """
    mask_output()
    handler = logging.StreamHandler(unmasked(sys.stderr))  # the records are masked, and JSON must stay JSON
    handler.setFormatter(JsonLines())
    for name, level in (("serving", logging.INFO), ("mlops_lib", logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False


@dataclass
class _Seen:
    """Lines of one kind since a time of `time.monotonic()`."""

    level: int
    began: float
    count: int = 0


class Failures:
    """The log of requests that were not answered as asked, without bodies and headers.

    Of lines that differ only in their request, `MAX_LINES` are written in `WINDOW_S`, then one with the number of the others:
    a caller's loop or a broken model must not fill the disk.
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
