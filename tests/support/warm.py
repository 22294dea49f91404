"""Starts `mlops`, uvicorn and code as forks of a process that has their packages imported: that saves seconds of each start.

A fork has streams, environment, folder and exit status as a process of its own. Its model processes are forked from
a template that has the packages of every kind imported. A test of the start itself starts a new process.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn, TextIO

from tests.support import blank

ROOT = Path(__file__).parents[2]
#: Without `mlops_lib.cli`, which looks at its terminal when it is imported.
PROGRAMS = (
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlops_lib.evaluation.figures.gate",
    "mlops_lib.evaluation.tasks.classification",
    "mlops_lib.lineage.why",
    "mlops_lib.loaders.sources.discovery",
    "mlops_lib.promotion",
    "kfp.compiler",
    "kfp.local",
    "pipelines.local",
    "pipelines.training",
    "sklearn.linear_model",
    "serving.app",
    "serving.operations.logs",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "typer",
    "typer.rich_utils",
)
NAMES = ("mlops", "uvicorn")
#: A process id, a length in bytes, or an exit status.
NUMBER = struct.Struct("!i")
NULL, OUT, ERROR, EXTRA = range(4)


class Process:
    """A fork, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, address: str, request: Mapping[str, Any], files: Sequence[int]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        body = json.dumps(request).encode()
        socket.send_fds(self._connection, [NUMBER.pack(len(body))], files)
        self._connection.sendall(body)
        (self.pid,) = NUMBER.unpack(_receive(self._connection, NUMBER.size))
        self.args: list[str] = request["command"]
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit status.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        with self._lock:
            if self.returncode is None:
                if not wait([self._connection], timeout):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                (self.returncode,) = NUMBER.unpack(_receive(self._connection, NUMBER.size))
                self._connection.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    out: int,
    error: int,
    given: int = subprocess.DEVNULL,
) -> Process:
    """Start `mlops`, `uvicorn` or `python -c` with arguments, in a folder, on the files with these numbers."""
    programs, templates = _server()
    request = {
        "command": list(command),
        "folder": str(folder),
        "environment": dict(environment),
        "templates": templates,
    }
    with open(os.devnull) as null:
        files = [null.fileno() if given == subprocess.DEVNULL else given, out, error]
        return Process(programs, request, files)


def start_code(code: str, *arguments: str) -> tuple[Process, TextIO, TextIO]:
    """Start `python -c` in the checkout: the process, its standard input and its standard output."""
    (given, to_it), (from_it, out) = os.pipe(), os.pipe()
    process = start(["python", "-c", code, *arguments], ROOT, os.environ, out, sys.stderr.fileno(), given)
    os.close(given)
    os.close(out)
    return process, os.fdopen(to_it, "w"), os.fdopen(from_it)


@functools.cache
def _server() -> tuple[str, str]:
    """Addresses for programs and for templates. The server is started by the first call, and ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="mlops-warm-")
    addresses = f"{folder.name}/programs", f"{folder.name}/templates"
    listeners = [socket.socket(socket.AF_UNIX) for _ in addresses]
    for listener, address in zip(listeners, addresses, strict=True):
        listener.bind(address)
        listener.listen(64)
    numbers = [listener.fileno() for listener in listeners]
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, *map(str, numbers)],
        cwd=ROOT, stdin=subprocess.PIPE, pass_fds=numbers, start_new_session=True,
        env=_environment(),
    )  # fmt: skip
    for listener in listeners:
        listener.close()

    def stop() -> None:
        process.communicate()
        folder.cleanup()

    atexit.register(stop)
    return addresses


def _environment() -> dict[str, str]:
    """Without what the test of the first start adds, and without the folder that Feast sets for metrics when it is imported:
    prometheus_client would then keep the metrics of all forks in files.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_MULTIPROC")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def main() -> None:
    """Import the packages of the programs, then fork for each connection; in a fork, be the program."""
    programs, templates = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    for name in PROGRAMS:
        importlib.import_module(name)
    blank.use()
    _become(_serve(programs, templates))


def _serve(listener: socket.socket, templates: socket.socket | None) -> socket.socket:
    """Fork for each connection, and report exit statuses. Returns the connection in a fork."""
    assert threading.active_count() == 1, "a fork would lack the other threads"
    gc.freeze()
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    children: dict[int, socket.socket | None] = {}
    while True:
        ready = wait([listener, woken, NULL, *filter(None, [templates])])
        if NULL in ready:  # the tests have ended, or were killed
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if woken in ready:
            os.read(woken, 1 << 16)
            _report(children)
        for asked in (listener, templates):
            if not asked or asked not in ready:
                continue
            connection = asked.accept()[0] if asked is listener else None
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number in (woken, wake):
                    os.close(number)
                for other in filter(None, [listener, *children.values()]):
                    other.close()
                if connection:
                    return connection
                assert templates
                _import_for_models()
                return _serve(templates, None)
            children[pid] = connection
            if connection:
                connection.sendall(NUMBER.pack(pid))
            else:
                asked.close()
                templates = None


def _report(children: dict[int, socket.socket | None]) -> None:
    """Send the exit statuses of the processes that have ended to their starters."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended and (connection := children.pop(pid)):
            with connection, contextlib.suppress(OSError):  # the starter is gone
                connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _import_for_models() -> None:
    """What a template imports, and what it imports before the first model of each kind."""
    from mlflow.utils import requirements_utils

    from serving.isolation import packages

    packages.import_all(packages.COMMON)
    for names in packages.OF_KINDS.values():
        packages.import_all(names)
    requirements_utils._init_packages_to_modules_map()


def _become(connection: socket.socket) -> None:
    """Be the program that the connection asks for; the interpreter ends after it as after any program."""
    import numpy as np

    from mlops_lib.steps import preload

    length, files, _, _ = socket.recv_fds(connection, NUMBER.size, 4)
    request = json.loads(_receive(connection, *NUMBER.unpack(length)))
    connection.close()
    for number, target in zip(files, (NULL, OUT, ERROR), strict=False):
        os.dup2(number, target)
        os.close(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    np.random.seed()
    preload.take_environment(request["environment"])
    os.chdir(request["folder"])
    name, *arguments = sys.argv = request["command"]
    if name == "template":
        _be_template(files[EXTRA], arguments)
    first = request["folder"] if name == "uvicorn" else str(Path(sys.executable).parent)
    given = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    sys.path[:] = [first, *given, *(one for one in sys.path[1:] if one not in given)]
    from serving.isolation import template

    template.start = lambda: _start_template(request["templates"])  # type: ignore[assignment]
    if name == "python":
        _, code, *sys.argv[1:] = arguments
        program = functools.partial(exec, code, {"__name__": "__main__"})
    elif name == "uvicorn":
        from uvicorn.main import main as program
    else:
        from mlops_lib.cli.app import main as program
    program()


def _start_template(address: str) -> tuple[Process, socket.socket]:
    """In the gateway: `serving.isolation.template.start`."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {
        "command": ["template", *sys.path],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "templates": "",
    }
    with its:
        return Process(address, request, [NULL, OUT, ERROR, its.fileno()]), ours


def _be_template(number: int, path: list[str]) -> NoReturn:
    from serving.isolation import template

    os.setsid()
    sys.path[:] = path
    template.main(number)
    raise AssertionError("a template does not return")


def _receive(connection: socket.socket, length: int) -> bytes:
    """Read `length` bytes.

    Raises:
        ConnectionError: The server has ended.
    """
    parts = b""
    while len(parts) < length:
        if not (part := connection.recv(length - len(parts))):
            raise ConnectionError("the process that forks programs for the tests has ended")
        parts += part
    return parts


if __name__ == "__main__":
    main()
