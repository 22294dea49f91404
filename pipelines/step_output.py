"""The log of a local pipeline run: everything that the steps print."""

import contextlib
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path

#: Lines at the end of the output that an error shows when a step ended without reporting one.
LAST_LINES = 12


class Log(io.TextIOBase):
    """Writes to a file as long as its disk has room, and holds the last lines in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: deque[str] = deque([""], maxlen=LAST_LINES)
        self._file: io.TextIOBase | None = None
        with contextlib.suppress(OSError):
            self._file = path.open("w", encoding="utf-8")

    def write(self, text: str) -> int:
        """Take text that a step printed."""
        first, *rest = text.split("\n")
        self._lines[-1] += first
        self._lines.extend(rest)
        with contextlib.suppress(OSError):  # a full disk costs the file, not the run
            if self._file:
                self._file.write(text)
                self._file.flush()
        return len(text)

    def close(self) -> None:
        """Close the file; its last bytes may find no room."""
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
        super().close()

    def last_lines(self) -> str:
        """The end of the output."""
        return "\n".join(line for line in self._lines if line.strip())


@contextlib.contextmanager
def captured(path: Path) -> Iterator[Log]:
    """Send what kfp.local prints, which includes the output of the steps,
    to a file and not over the display."""
    with contextlib.closing(Log(path)) as log, contextlib.redirect_stdout(log):
        yield log
