"""The events that a step reports to its runner: typed, one JSON object a line, in a file of the run's folder.

The local runner makes the file. On a cluster there is none, and then no event is written.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mlops_lib.settings import Settings
from mlops_lib.step_cache.entry import Entry

FILE = "events.jsonl"
#: Wait between two looks at the file.
POLL_S = 0.1


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    step: str  # the step's name


class Started(_Event):
    """The kernel of the step starts."""

    event: Literal["started"] = "started"


class CellDone(_Event):
    """The step has run `cell` of its `cells` cells."""

    event: Literal["cell"] = "cell"
    cell: int
    cells: int


class CacheHit(_Event):
    """The step is not run, because the cache has its outputs."""

    event: Literal["cache hit"] = "cache hit"
    reason: str


class CacheMiss(_Event):
    """The step must run."""

    event: Literal["cache miss"] = "cache miss"
    reason: str


class Warned(_Event):
    """The step's notebook printed a warning."""

    event: Literal["warned"] = "warned"
    message: str


class Failed(_Event):
    """The step ended with an error; `record` is where its notebook can be read, or empty."""

    event: Literal["failed"] = "failed"
    message: str
    record: str = ""


class Finished(_Event):
    """The step has its outputs; `entry` is None when they cannot be cached."""

    event: Literal["finished"] = "finished"
    outputs: dict[str, Any]
    cached: bool = False
    entry: Entry | None = None


Event = Started | CellDone | CacheHit | CacheMiss | Warned | Failed | Finished
OnEvent = Callable[[Event], None]
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def run_folder(settings: Settings, run_id: str) -> Path:
    """The folder of one pipeline run in the work folder."""
    return settings.path(settings.pipeline.work_dir) / "runs" / run_id


def create(folder: Path) -> None:
    """Make the events file of a run, as far as the disk takes it."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).touch()


def write(folder: Path, event: Event) -> None:
    """Append an event, if the run has an events file. A full disk costs the event and not the step."""
    file = folder / FILE
    with contextlib.suppress(OSError):
        if file.is_file():
            with file.open("a", encoding="utf-8") as stream:
                # The first line break ends the half line of a writer that was killed, or found the disk full.
                stream.write(f"\n{event.model_dump_json()}\n")


def read(folder: Path) -> list[Event]:
    """All events of a run, in order; a line that is not an event is left out."""
    return Reader(folder / FILE).new()


def finished(folder: Path) -> dict[str, Finished]:
    """Step name -> the last time that it finished in a run."""
    return {event.step: event for event in read(folder) if isinstance(event, Finished)}


class Reader:
    """Reads a growing events file.

    Args:
        file: The events file.
        from_end: Leave out the events that are in the file already.
    """

    def __init__(self, file: Path, from_end: bool = False) -> None:
        self.file = file
        self._offset = file.stat().st_size if from_end and file.is_file() else 0

    def new(self) -> list[Event]:
        """The events since the last call."""
        events = []
        with contextlib.suppress(OSError), self.file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):  # half a line: the rest comes later
                    break
                self._offset += len(line)
                with contextlib.suppress(ValidationError):
                    events.append(_EVENT.validate_json(line))
        return events


@contextlib.contextmanager
def followed(folder: Path, on_event: OnEvent) -> Iterator[list[Event]]:
    """Call `on_event`, from a thread, for each event that is written during the block.

    Yields:
        The events so far. It is complete when the block has ended.
    """
    reader, seen, ended = Reader(folder / FILE, from_end=True), list[Event](), threading.Event()

    def follow() -> None:
        last = False
        while not last:
            last = ended.wait(POLL_S)
            for event in reader.new():
                seen.append(event)
                on_event(event)

    thread = threading.Thread(target=follow, daemon=True, name="events")
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
