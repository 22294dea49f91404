"""The template: a process with the common imports ready, which forks a process for each served version.

It runs no model's code, and has no other thread when it forks. The gateway starts it with `start`, and sends
`Fork` with one end of a socket pair. The template answers `Forked`, and later `Exited`. When a model process
ends, its whole process group is killed, so that nothing it started outlives it. The template ends when the
gateway's end of its socket is closed, and all model processes end with it, however it ends.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from serving.isolation.messages import Exited, Fork, Forked, FromTemplate, Kill, Ready, ToTemplate
from serving.isolation.packages import COMMON, OF_KINDS, import_all

MAX_PACKET_BYTES = 2**16
#: As of the gateway: collecting among the objects of imports costs hundreds of milliseconds of a call.
GC_THRESHOLDS = (50_000, 50, 100)
#: Milliseconds between looks at an import under way.
POLL_MS = 10
PR_SET_PDEATHSIG = 1
_MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from serving.isolation import template; template.main(int(sys.argv[2]))"
)
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(ToTemplate).decode


def start() -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a template with the import path of this process. Its first message is `Ready`;
    requests may come before it.

    Returns:
        The process, and the socket (SOCK_SEQPACKET) for `ToTemplate` and `FromTemplate`.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, "-c", _MAIN, json.dumps(sys.path), str(its.fileno())]
        process = subprocess.Popen(
            command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
    return process, ours


def send_fork(
    template: socket.socket, call: int, connection: socket.socket, kinds: Sequence[str] = ()
) -> None:
    """Ask for a model process at the other end of `connection`, which the caller then closes here.

    Args:
        kinds: The model's wrapper and flavours.
    """
    message = Fork(call, [kind for kind in kinds if kind in OF_KINDS])
    socket.send_fds(template, [_encode(message)], [connection.fileno()])


def main(fileno: int) -> None:
    """Import, then fork on request until the gateway is gone."""
    gateway = socket.socket(fileno=fileno)
    gc.set_threshold(*GC_THRESHOLDS)
    import_all(COMMON)
    with contextlib.suppress(Exception):  # MLflow makes this list once a process, in half a second
        requirements_utils = importlib.import_module("mlflow.utils.requirements_utils")
        requirements_utils._init_packages_to_modules_map()
    _Template(gateway).run()


class _Template:
    def __init__(self, gateway: socket.socket) -> None:
        self._gateway, self._pid = gateway, os.getpid()
        self._children: set[int] = set()
        self._forks: deque[tuple[Fork, socket.socket]] = deque()
        #: Kinds whose packages are imported, and the thread that imports those of another one.
        self._kinds: set[str] = set()
        self._importing: threading.Thread | None = None
        self._woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._wake = wake

    def run(self) -> None:
        waiting = select.poll()
        waiting.register(self._gateway, select.POLLIN)
        waiting.register(self._woken, select.POLLIN)
        with contextlib.suppress(OSError):  # the gateway is gone
            self._send(Ready())
            while True:
                ready = dict(waiting.poll(POLL_MS if self._importing else None))
                if self._woken in ready:
                    os.read(self._woken, MAX_PACKET_BYTES)
                    self._reap()
                if self._gateway.fileno() in ready and not self._receive():
                    break
                self._fork_next()
        for pid in self._children:
            _kill(pid)
        os._exit(0)

    def _receive(self) -> bool:
        packet, files, _, _ = socket.recv_fds(self._gateway, MAX_PACKET_BYTES, 1)
        if not packet:
            return False
        message = _decode(packet)
        if isinstance(message, Kill):
            if message.pid in self._children:
                _kill(message.pid)
            return True
        if files:
            self._forks.append((message, socket.socket(fileno=files[0])))
        else:  # the kernel drops a socket for which a process at its limit has no number
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            reason = f"its socket did not arrive: the template may have {limit} open files (ulimit -n)"
            self._send(Forked(message.id, 0, reason))
        return True

    def _fork_next(self) -> None:
        """Fork as asked. Packages are imported in a thread, so that no `Kill` waits;
        it has ended before a fork."""
        if self._importing and not has_ended(self._importing):
            return
        self._importing = None
        while self._forks:
            message, connection = self._forks[0]
            if missing := [kind for kind in message.kinds if kind not in self._kinds]:
                self._kinds.update(missing)
                names = [name for kind in missing for name in OF_KINDS.get(kind, ())]
                self._importing = threading.Thread(target=import_all, args=(names,))
                self._importing.start()
                return
            self._forks.popleft()
            with connection:
                self._send(self._fork(message.id, connection))

    def _fork(self, call: int, connection: socket.socket) -> Forked:
        try:
            pid = os.fork()
        except OSError as error:  # too little memory, or too many processes
            return Forked(call, 0, str(error))
        if pid == 0:
            self._become_model_process(connection)
        self._children.add(pid)
        return Forked(call, pid)

    def _become_model_process(self, connection: socket.socket) -> None:
        """In the fork; does not return."""
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:  # the template ended before that
                os._exit(1)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._gateway.close()
            os.close(self._woken)
            os.close(self._wake)
            for _, other in self._forks:
                other.close()
            from serving.isolation import model_process

            model_process.run(connection)
        except BaseException:
            logging.getLogger("serving").exception("a model process failed")
        finally:
            os._exit(1)

    def _reap(self) -> None:
        """Report the processes that have ended. A group is killed while its number is still taken."""
        for pid in list(self._children):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill(pid)
            _, status = os.waitpid(pid, 0)
            self._children.discard(pid)
            self._send(Exited(pid, status))

    def _send(self, message: FromTemplate) -> None:
        self._gateway.send(_encode(message))


def has_ended(thread: threading.Thread) -> bool:
    """Whether a thread is gone. For a moment after Python has done with it, libraries clean up in it: a fork would
    keep the locks that they hold."""
    return not thread.is_alive() and not os.path.exists(f"/proc/self/task/{thread.native_id}")


def _kill(pid: int) -> None:
    """Kill a process, which may not have a group of its own yet, and its group, which may outlive it."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
