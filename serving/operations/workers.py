"""The worker processes of one service, and what each tells the others through a folder.

The folder is named after the process that started the workers. A record in it is named after a
worker and holds the worker's state. Process ids are used again, so both names also have the
time at which the process started.
"""

import asyncio
import multiprocessing
import os
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Self

from mlops_lib.files import replacing
from mlops_lib.processes import is_running, name_of

PREFIX = "mlops-serving-workers-"
RECORD = "worker-"
#: Seconds between looks at the other workers.
POLL_S = 0.1


class State(StrEnum):
    """How far a worker is."""

    LOADING = "loading"  # takes no connections
    UNREADY = "unready"  # takes connections, though it has no model
    READY = "ready"  # has a model


class Workers:
    """One of several workers, as it sees the others.

    Args:
        folder: Shared by the workers of one service.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / f"{RECORD}{name_of(os.getpid())}"
        self._announce(State.LOADING)

    @classmethod
    def join(cls) -> Self | None:
        """This process among the workers that its parent started; None for a process that works alone.

        Folders of services whose parent process has ended are removed.
        """
        parent = multiprocessing.parent_process()
        if parent is None or parent.pid is None:
            return None
        temp = Path(tempfile.gettempdir())
        for folder in temp.glob(f"{PREFIX}*"):
            if not is_running(folder.name.removeprefix(PREFIX)):
                shutil.rmtree(folder, ignore_errors=True)
        folder = temp / f"{PREFIX}{name_of(parent.pid)}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return cls(folder)

    async def wait_for_turn(self) -> None:
        """Return when this worker may take connections: it has a model, or no other worker has one.

        All workers listen on one socket, so a worker without a model would take requests from a worker that
        has one. Without any model, some worker must still answer the probes.
        """
        while self.state is not State.READY:
            if State.READY not in self.others().values():
                # Announced before the second look: of two workers that change at once, one sees the other.
                self._announce(State.UNREADY)
                if State.READY not in self.others().values():
                    return
                self._announce(State.LOADING)
            await asyncio.sleep(POLL_S)

    def ready(self) -> None:
        """Tell the others that this worker has a model."""
        self._announce(State.READY)

    def unready(self) -> int:
        """How many workers take connections and have no model, this one included."""
        return [self.state, *self.others().values()].count(State.UNREADY)

    def others(self) -> dict[int, State]:
        """States of the other workers that run, by process id."""
        return {
            _pid(record): _read(record)
            for record in self._records()
            if record != self._record and is_running(record.name.removeprefix(RECORD))
        }

    def remove_dead(self) -> list[int]:
        """Remove the records of workers that died; their process ids."""
        dead = [record for record in self._records() if not is_running(record.name.removeprefix(RECORD))]
        for record in dead:
            record.unlink(missing_ok=True)
        return [_pid(record) for record in dead]

    def leave(self) -> None:
        """Remove this worker's record, and the folder when no other worker is left."""
        self._record.unlink(missing_ok=True)
        if not self.others():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _announce(self, state: State) -> None:
        self.state = state
        with replacing(self._record) as partial:
            partial.write_text(state)

    def _records(self) -> list[Path]:
        return list(self.folder.glob(f"{RECORD}*"))


def _pid(record: Path) -> int:
    return int(record.name.removeprefix(RECORD).partition("-")[0])


def _read(record: Path) -> State:
    """The state in a record; a record that is gone is of a worker that leaves."""
    try:
        return State(record.read_text())
    except FileNotFoundError:
        return State.LOADING
