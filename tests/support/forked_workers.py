"""Workers of a distributed training, and a training to kill, as forks of the tests' fork server, which has the packages imported.

Each is a process of its own with the environment and streams that a new process has. The end of a worker with its parent is
left out, because the parent of a fork is the server: `tests/training/test_launch.py` tests it on new processes.
"""

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import wait
from types import SimpleNamespace
from typing import IO, Any

from mlops_lib.steps.fork_client import FORK_SERVER_ENV, LENGTH, receive
from mlops_lib.training import worker
from tests.support import forks


class Forked:
    """A call of a function of a module in a fork, with the methods of `subprocess.Popen` that `launch` and the tests use."""

    def __init__(
        self, function: str, *arguments: str, env: Mapping[str, str], out: int = 1, error: int = 2
    ) -> None:
        request = {
            "function": function,
            "arguments": arguments,
            "keywords": {},
            "environment": dict(env),
            "folder": os.getcwd(),
            "path": sys.path,
        }
        body = json.dumps(request).encode()
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(forks.environment()[FORK_SERVER_ENV])
        socket.send_fds(self._connection, [LENGTH.pack(len(body))], [out, error])
        self._connection.sendall(body)
        (self.pid,) = LENGTH.unpack(receive(self._connection, LENGTH.size))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """0, 1 for an error, -9 for a process that was killed; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, as `poll` reports it."""
        if self.returncode is None:
            if not wait([self._connection], timeout):
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            with self._connection:
                reply = receive(self._connection)
            self.returncode = (
                int(isinstance(pickle.loads(reply), BaseException)) if reply else -signal.SIGKILL
            )
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def train() -> None:
    """Train the network of the configuration that the environment names."""
    from mlops_lib import config, loaders, wrappers

    settings = config.load()
    wrappers.from_settings(settings).train(loaders.prepared(settings), settings)


def _start(
    command: list[str], env: Mapping[str, str], stdin: int, stdout: IO[bytes], stderr: IO[bytes]
) -> Forked:
    assert command[1:-1] == ["-P", "-m", worker.__name__] and stdin == subprocess.DEVNULL
    own = {name: value for name, value in env.items() if name != worker.PARENT_ENV}
    name = f"{worker.__name__}:main"
    return Forked(name, command[-1], env=own, out=stdout.fileno(), error=stderr.fileno())


#: In place of the module in `mlops_lib.training.launch`.
SUBPROCESS: Any = SimpleNamespace(
    Popen=_start, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
)
