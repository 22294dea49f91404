"""Structured logs: one JSON object a line on standard error. Bodies, headers and keys are never in them.

The error of a database driver may hold the database's address. Passwords in addresses are masked in every line.
"""

import json
import logging
import sys
import time

from mlops_lib.redact import mask

log = logging.getLogger("serving")
#: Characters of a message or traceback: an error may quote a whole request, and lines are made on the event loop.
MAX_CHARS = 16_384
#: Fields that ``extra=`` may add.
EXTRA = ("request_id", "method", "route", "status", "ms", "error")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, with a traceback in the field `traceback`."""

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
    """`text` without the passwords of addresses, and without its middle when it is long."""
    if len(text) <= MAX_CHARS:
        return mask(text)
    # Masked before it is cut: half an address is not recognised, and would show its password.
    half = MAX_CHARS // 2
    return f"{mask(text[:MAX_CHARS])[:half]} ... {mask(text[-MAX_CHARS:])[-half:]}"


def configure() -> None:
    """Send the service's log to standard error, and turn off uvicorn's access log.

    A line for each request costs more than the answer. Failures are logged here; /metrics counts requests.
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
