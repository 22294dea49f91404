"""Structured logs: one JSON object a line on standard error. Bodies, headers and keys are never in them.

A driver's errors may have its database's address in them; passwords in addresses are masked here, for every line.
"""

import json
import logging
import sys
import time

from mlops_lib.redact import mask

log = logging.getLogger("serving")
#: Characters of a message or traceback: an error may quote a whole request, and lines are made on the event loop.
LONGEST = 16_384
#: What a caller of the logger may add with ``extra=``.
EXTRA = ("request_id", "method", "route", "status", "ms", "error")


class JsonLines(logging.Formatter):
    """A record as one line of JSON; a traceback goes into the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        seconds, fraction = divmod(record.created, 1)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(fraction * 1e3):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shown(record.getMessage()),
        }
        line |= {name: getattr(record, name) for name in EXTRA if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = shown(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def shown(text: str) -> str:
    """`text` without passwords of addresses, and without its middle when it is long."""
    if len(text) <= LONGEST:
        return mask(text)
    # Masked before it is cut: half an address does not look like one, and shows its password.
    half = LONGEST // 2
    return f"{mask(text[:LONGEST])[:half]} ... {mask(text[-LONGEST:])[-half:]}"


def configure() -> None:
    """Send the service's log to standard error, and switch off uvicorn's line for every request.

    A line a request costs more than the answer; failures are logged here, figures are in /metrics.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("serving", logging.INFO), ("mlops_lib", logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False


def log_failure(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log a request that was not answered as asked, without its body and headers."""
    level = logging.WARNING if status >= 500 else logging.INFO
    about = {"request_id": request_id, "method": method, "route": route, "status": status}
    log.log(level, "request failed", extra={**about, "ms": round(seconds * 1e3, 1)})
