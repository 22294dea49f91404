"""Runs a function in a fork of the fork server: the runner starts the server,
the process of each step asks it."""

import contextlib
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mlops_lib.errors import MlopsError

T = TypeVar("T")

#: Address of the fork server's socket, for the steps of a run.
FORK_SERVER_ENV = "MLOPS_FORK_SERVER"
#: How a request starts: its length in bytes.
LENGTH = struct.Struct("!I")
#: Seconds for the server to end by itself; it may be in the middle of an import that is no longer needed.
END_S = 1


@contextlib.contextmanager
def server(modules: tuple[str, ...]) -> Iterator[None]:
    """Have a fork server for the processes that the block starts.
    Without one (not on Linux) steps start cold.

    A server that the environment names already is used, and left running.

    Args:
        modules: Packages that the server imports after those that every step needs.
    """
    if sys.platform != "linux" or os.environ.get(FORK_SERVER_ENV):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/fork"
        with contextlib.suppress(OSError):  # the path may be too long for a socket
            listener.bind(address)
        if not listener.getsockname():
            yield
            return
        listener.listen()
        command = [sys.executable, "-m", "mlops_lib.steps.fork_server", str(listener.fileno()), *modules]
        process = subprocess.Popen(
            command,
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        listener.close()  # so that no client waits for an answer of a server that has ended
        os.environ[FORK_SERVER_ENV] = address
        try:
            yield
        finally:
            del os.environ[FORK_SERVER_ENV]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=END_S)
            process.kill()
            process.wait()


class NoServerError(Exception):
    """There is no fork server, or it ended before it forked: the caller calls the function itself."""


def run(function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
    """Call a function in a fork of the fork server, as if the caller's process called it.

    Args:
        function: A function of a module; must return, and raise, what can be pickled.
        arguments: JSON values.
        keywords: JSON values.

    Raises:
        NoServerError: There is no server; nothing was called.
        MlopsError: The fork was killed.
        BaseException: What the function raised.
    """
    if not (address := os.environ.get(FORK_SERVER_ENV)):
        raise NoServerError
    request = {
        "function": f"{function.__module__}:{function.__qualname__}",
        "arguments": arguments,
        "keywords": keywords,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": sys.path,
    }
    body = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [LENGTH.pack(len(body))], [1, 2])
            connection.sendall(body)
            pid = receive(connection, LENGTH.size)
        except OSError as error:
            raise NoServerError from error
        if len(pid) < LENGTH.size:
            raise NoServerError
        with _forwarding(*LENGTH.unpack(pid)):
            reply = receive(connection)
    if not reply:
        raise MlopsError("The process of the step was killed: by a person, or because the memory ran out.")
    result = pickle.loads(reply)
    if isinstance(result, BaseException):
        raise result
    return result


def receive(connection: socket.socket, length: int = sys.maxsize) -> bytes:
    """Read `length` bytes, or as many as come before the other side closes."""
    parts = []
    while length and (part := connection.recv(min(length, 1 << 16))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def _forwarding(pid: int) -> Iterator[None]:
    """Forward the first interrupt to the fork, which then stores its record and
    answers with KeyboardInterrupt."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return

    def forward(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    before = [signal.signal(number, forward) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
