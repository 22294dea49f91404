"""Names for processes, by which other processes see that one has ended."""

import hashlib
import os
import socket
from pathlib import Path


def name_of(pid: int) -> str:
    """The name `<pid>-<start>` of a process: a process id alone is used again after its process has ended."""
    return f"{pid}-{started(pid)}"


def is_running(name: str) -> bool:
    """Check whether the process with this name runs; True for a text that is no such name.

    The name must come from the same `machine`.
    """
    pid, _, start = name.partition("-")
    if not pid.isdecimal():
        return True
    fields = _stat(int(pid))
    if start and fields:
        return started(int(pid)) == start
    return _exists(int(pid))


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" for one that has ended,
    and where there is no /proc."""
    fields = _stat(pid)
    return "" if not fields or fields[0] == "Z" else fields[19]


def machine() -> str:
    """A digest of the host, its boot and the container: inside these, a process id means one process.

    "" where there is no /proc (macOS).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Containers of one host share the boot and have process ids of their own.
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{socket.gethostname()} {boot} {namespace}".encode()).hexdigest()[:16]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; empty for a process that has ended or is hidden."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _exists(pid: int) -> bool:
    """Check for a process with this id where /proc is missing or hides other users' processes."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
