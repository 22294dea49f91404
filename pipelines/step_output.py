"""What the steps of a local pipeline run print: kept in a file, watched for progress, and read for why one failed."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_lib.notebooks import REMEMBERED
from mlops_lib.steps.execute import STARTED

#: Characters of what was printed last that are kept at hand; the file may be on a disk that is full.
TAIL = 100_000


@dataclass(frozen=True)
class Progress:
    """A step has run `cell` of its `cells`, or there is a `note` on it: what memory says of it, say."""

    notebook: str
    cell: int = 0
    cells: int = 0
    note: str = ""


OnProgress = Callable[[Progress], None]


class Log(io.TextIOBase):
    """Writes what the steps print to a file, as long as its disk takes it, and tells of each cell that has run."""

    STARTED = re.compile(rf"{re.escape(STARTED)} (\w+)")
    CELLS = re.compile(r"Executing:\s+\d+%.*?(\d+)/(\d+) ")
    REMEMBERED = re.compile(rf"{re.escape(REMEMBERED)} (\w+) (\w+: .*)")

    def __init__(self, path: Path, on_progress: OnProgress, on_start: Callable[[], object]) -> None:
        self.path, self.on_progress, self.on_start = path, on_progress, on_start
        self.notebook, self.tail = "", ""
        self._file: io.TextIOBase | None = None
        with contextlib.suppress(OSError):
            self._file = path.open("w", encoding="utf-8")

    def write(self, text: str) -> int:
        """Take what a step printed."""
        if found := self.REMEMBERED.search(text):
            self.on_progress(Progress(found[1], note=found[2].strip()))
        if started := self.STARTED.search(text):
            self.notebook = started[1]
            self.on_start()
        if cells := self.CELLS.findall(text):  # a container's output comes in pieces of many lines
            self.on_progress(Progress(self.notebook, *map(int, cells[-1])))
        self.tail = (self.tail + text)[-TAIL:]
        with contextlib.suppress(OSError):  # a full disk costs the file, not the run
            if self._file:
                self._file.write(text)
                self._file.flush()
        return len(text)

    def close(self) -> None:
        """Close the file; what it still held may find no room either."""
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
        super().close()

    def why(self, error: Exception) -> str:
        """The error that the failed step ended with; `error` where none was printed."""
        lines = [line.strip() for line in self.tail.splitlines()]
        raised = [i for i, line in enumerate(lines) if re.match(r"mlops_lib\.errors\.\w+: ", line)]
        if not raised:
            return f"{error}\nWhat the steps printed: {self.path}"
        message = lines[raised[-1]].partition(": ")[2]
        record = [line for line in lines[raised[-1] :] if line.startswith("Its record: ")]
        return "\n".join([message, *record[:1], f"What the steps printed: {self.path}"])


@contextlib.contextmanager
def captured(path: Path, on_progress: OnProgress, on_start: Callable[[], object]) -> Iterator[Log]:
    """kfp.local prints everything that the steps print; that goes to a file, not over the progress display.

    Args:
        path: The file.
        on_progress: Called for each cell that a step has run, and with what memory says of a step.
        on_start: Called when the notebook of a step starts.
    """
    with contextlib.closing(Log(path, on_progress, on_start)) as log, contextlib.redirect_stdout(log):
        yield log
