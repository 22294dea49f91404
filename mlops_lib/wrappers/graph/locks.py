"""Locks of conversations, so that no two turns of one run at once:
in one process or in several on one machine."""

import asyncio
import fcntl
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

#: Seconds between attempts while another process has the lock.
POLL_S = 0.02
#: A thread's lock is one byte of the file, at a place below this. The file stays empty.
PLACES = 2**62
#: The descriptors of the files. A process loses all its locks of a file when it closes any of them,
#: so none is closed.
_files: dict[Path, int] = {}
#: Locks that this process has: its id (a fork inherits none), file and place.
_held: set[tuple[int, Path, int]] = set()
_mutex = threading.Lock()


class ThreadLocks:
    """Locks by thread id. The system releases those of a process that ends.

    Args:
        file: Shared by the processes; None: one process has the conversations in its memory.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    def beside(cls, stored: Path) -> "ThreadLocks":
        """The locks of the conversations in a file."""
        return cls(stored.with_suffix(".lock"))

    @asynccontextmanager
    async def hold(self, thread: str) -> AsyncIterator[None]:
        """Wait for a thread's lock, and hold it."""
        loop = asyncio.get_running_loop()
        async with self._locks.setdefault(f"{id(loop)}:{thread}", asyncio.Lock()):
            while True:
                with self.hold_now(thread) as held:
                    if held:
                        yield
                        return
                await asyncio.sleep(POLL_S)

    @contextmanager
    def hold_now(self, thread: str) -> Iterator[bool]:
        """Whether nobody has a thread's lock; it is then held in the block."""
        if self._file is None:
            yield True
            return
        opened = _files.get(self._file)
        if opened is None:
            opened = _files[self._file] = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        place = int.from_bytes(hashlib.sha256(thread.encode("utf-8", "surrogatepass")).digest()[:8]) % PLACES
        mine = (os.getpid(), self._file, place)
        with _mutex:
            # The system would give a process the lock that it has already.
            if mine not in _held and _locked(opened, place):
                _held.add(mine)
                is_held = True
            else:
                is_held = False
        try:
            yield is_held
        finally:
            if is_held:
                with _mutex:
                    _held.discard(mine)
                    fcntl.lockf(opened, fcntl.LOCK_UN, 1, place)


def _locked(opened: int, place: int) -> bool:
    """Whether this process has a place of a file by now."""
    try:
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):  # another process has it; the error depends on the system
        return False
    return True
