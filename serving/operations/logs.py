"""Structured logs: one JSON object a line on standard error, without secrets.
Bodies and headers are never in them."""

import json
import logging
import sys
import time

from mlops_lib.redact.output import mask_output, unmasked

#: Fields that ``extra=`` may add.
EXTRA = ("request_id", "method", "route", "status", "ms", "error", "version", "at", "left_out")


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
