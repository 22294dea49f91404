"""A kernel process that is started before it is needed, imports what notebooks import, and waits.

It becomes a normal Jupyter kernel when `StartedAhead` hands it the command, folder and environment of one.
It runs one notebook, as every kernel does. One that is never asked ends when the pipe to it is closed.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from mlops_lib.steps import preload

#: How jupyter_client starts a Python kernel; a kernel with another command is started as it says.
COMMAND = (sys.executable, "-m", "ipykernel_launcher")


class Forked:
    """A forked child with the part of `subprocess.Popen` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass
class Waiting:
    """A process that waits for its orders on a pipe."""

    process: "Forked | subprocess.Popen[bytes]"
    orders: IO[bytes]

    def become(self, command: list[str], folder: Any, environment: dict[str, str]) -> None:
        """Make it the kernel of `command`.

        Raises:
            OSError: The process has ended, or the command is not one of a Python kernel.
        """
        if tuple(command[: len(COMMAND)]) != COMMAND or self.process.poll() is not None:
            raise OSError
        orders = {"arguments": command[len(COMMAND) :], "folder": str(folder), "environment": environment}
        with self.orders:
            self.orders.write(json.dumps(orders).encode())

    def stop(self) -> None:
        """End it unused."""
        with contextlib.suppress(OSError):
            self.orders.close()
        self.process.kill()
        self.process.wait()


_waiting: Waiting | None = None


@contextlib.contextmanager
def started(modules: tuple[str, ...]) -> Iterator[None]:
    """Have a process waiting for the kernel that starts in the block;
    a child of the fork server has one already.

    Args:
        modules: Packages to import after those that every notebook needs.
    """
    global _waiting
    if not _waiting:
        command = [sys.executable, "-m", __name__, *modules]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert process.stdin
        _waiting = Waiting(process, process.stdin)
    try:
        yield
    finally:
        if unused := take():
            unused.stop()


def take() -> Waiting | None:
    """The process that waits, for the caller alone."""
    global _waiting
    taken, _waiting = _waiting, None
    return taken


def fork(connection: socket.socket) -> None:
    """Fork the process that waits, in a child of the fork server;
    `connection` belongs to the caller alone."""
    global _waiting
    orders, end = os.pipe()
    if pid := os.fork():
        os.close(orders)
        _waiting = Waiting(Forked(pid), os.fdopen(end, "wb"))
        return
    connection.close()
    os.close(end)
    os.setsid()
    os.dup2(orders, 0)
    os.close(orders)
    _wait()


def _wait() -> None:
    """Wait for the orders, then run as a kernel; never returns."""
    with open(0, "rb", closefd=False) as pipe:
        orders = pipe.read()
    if orders:
        _be_kernel(**json.loads(orders))
    sys.exit()


def _be_kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    preload.take_environment(environment)
    os.chdir(folder)
    import ipykernel_launcher
    from ipykernel import kernelapp

    # ipykernel reads this variable when it is imported, which was before it was set.
    parent = f"--IPKernelApp.parent_handle={environment['JPY_PARENT_PID']}"
    sys.argv = [ipykernel_launcher.__file__, *arguments, parent]
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    preload.leave_current_folder()
    for _ in preload.each(preload.KERNEL + tuple(sys.argv[1:])):
        if select.select([0], [], [], 0)[0]:
            break
    _wait()
