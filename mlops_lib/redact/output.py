"""Masking of secrets in a process's output: every log record, whoever made it, and everything printed.

See docs/decisions/0311.
"""

import logging
import sys
from typing import Any, TextIO

from mlops_lib.redact import mask, mask_secrets

#: Characters of a message or traceback: an error may quote a whole request,
#: and lines are made on the event loop.
MAX_CHARS = 16_384


class MaskedRecord(logging.LogRecord):
    """A log record whose message, traceback and stack have no secrets, whatever handler writes it."""

    def getMessage(self) -> str:
        """The message, masked."""
        return shown(super().getMessage())

    def __setattr__(self, name: str, value: Any) -> None:
        # Formatters keep the text of a traceback here before they write it.
        if name in ("exc_text", "stack_info") and value:
            value = shown(value)
        super().__setattr__(name, value)


class MaskedStream:
    """A text stream whose secrets are masked, for print and for tracebacks of uncaught errors.

    A secret is found if one call writes it whole.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`, masked."""
        self._stream.write(mask_secrets(text) if len(text) > 1 else text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line, masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def mask_output() -> None:
    """Mask secrets in all that this process logs and prints from now on, by any module."""
    logging.setLogRecordFactory(MaskedRecord)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskedStream):
            setattr(sys, name, MaskedStream(stream))


def unmasked(stream: TextIO) -> TextIO:
    """The stream under a masked one."""
    return stream._stream if isinstance(stream, MaskedStream) else stream


def shown(text: str) -> str:
    """`text` without secrets, and without its middle when it is long."""
    if len(text) <= MAX_CHARS:
        return mask(text)
    # Masked before it is cut: half an address is not recognised, and would show its password.
    half = MAX_CHARS // 2
    return f"{mask(text[:MAX_CHARS])[:half]} ... {mask(text[-MAX_CHARS:])[-half:]}"
