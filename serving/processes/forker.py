"""Starts model processes from the template of this gateway process, and hears of their ends."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from mlops_lib.errors import ModelError
from serving.blocking_calls import in_daemon_thread
from serving.isolation import template
from serving.isolation.messages import Exited, Forked, FromTemplate, Kill

T = TypeVar("T")
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(FromTemplate).decode


class Child:
    """A process that the template forked.

    Attributes:
        connection: The gateway's end of its socket pair.
    """

    def __init__(self, forker: "Forker", connection: socket.socket, pid: int) -> None:
        self._forker, self.connection, self.pid = forker, connection, pid

    def interrupt(self) -> None:
        """End the batch under way. Call it before its answer is read, see `messages.Cancel`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """End it and all that it started. Nothing happens once it has ended."""
        self._forker.send(Kill(self.pid))


class Forker:
    """The template of this process: started when it is first needed, and again when it has died.

    A thread reads what the template sends. It belongs to no event loop, as the template does not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        #: Number of a `Fork` -> gets the answer; process id -> gets the wait status.
        self._forked: dict[int, Callable[[Forked], None]] = {}
        self._exited: dict[int, Callable[[int], None]] = {}

    async def fork(self, kinds: Sequence[str], exited: Callable[[int], None]) -> Child:
        """A new process.

        Args:
            kinds: Wrapper and flavours of the model that it is for.
            exited: Called in this event loop with the process's wait status, once it has ended.

        Raises:
            ModelError: The template cannot be started, or the system refuses a process.
        """
        loop = asyncio.get_running_loop()
        await in_daemon_thread(self._start, "template")
        answer: asyncio.Future[Forked] = loop.create_future()
        ours, its = socket.socketpair()
        number = next(self._numbers)
        try:
            with its:
                self._watch(number, _in(loop, partial(set_unless_done, answer)), _in(loop, exited))
                if not self._socket:
                    raise OSError("the template has ended")
                template.send_fork(self._socket, number, its, kinds)
            forked = await answer
            if not forked.pid:
                raise ModelError(f"No process can be started for the model: {forked.reason}")
        except BaseException as error:
            ours.close()  # a process that is forked after all finds its socket closed, and ends
            if isinstance(error, OSError):
                raise ModelError(f"No process can be started for the model: {error}") from error
            raise
        ours.setblocking(False)
        return Child(self, ours, forked.pid)

    def send(self, message: Kill) -> None:
        """Send the template a message. A template that has ended has taken its processes along."""
        with contextlib.suppress(OSError):
            if self._socket:
                self._socket.send(_encode(message))

    def _watch(self, number: int, answered: Callable[[Forked], None], exited: Callable[[int], None]) -> None:
        """Register for the answer to a `Fork`, and for the end of its process, which may follow at once."""

        def forked(message: Forked) -> None:
            if message.pid:
                self._exited[message.pid] = exited
            answered(message)

        self._forked[number] = forked

    def _start(self) -> None:
        with self._lock:
            if self._socket is None:
                try:
                    self._process, self._socket = template.start()
                except OSError as error:
                    raise ModelError(f"No process can be started for the model: {error}") from error
                threading.Thread(
                    target=self._read, args=(self._process, self._socket), daemon=True, name="template"
                ).start()

    def _read(self, process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
        while True:
            try:
                packet = connection.recv(template.MAX_PACKET_BYTES)
            except OSError:
                packet = b""
            if not packet:
                break
            message = _decode(packet)
            if isinstance(message, Forked):
                self._forked.pop(message.id)(message)
            elif isinstance(message, Exited) and (exited := self._exited.pop(message.pid, None)):
                exited(message.status)
        process.wait()
        with self._lock:
            self._socket = None
            connection.close()
            ended = f"the template ended with exit code {process.returncode}"
            for number in list(self._forked):
                self._forked.pop(number)(Forked(number, 0, ended))
            for pid in list(self._exited):
                self._exited.pop(pid)(signal.SIGKILL)  # the kernel kills them with their parent


def set_unless_done(future: asyncio.Future[T], result: T) -> None:
    """Set the result of a future whose waiter may have been cancelled."""
    if not future.done():
        future.set_result(result)


def _in(loop: asyncio.AbstractEventLoop, call: Callable[[Any], Any]) -> Callable[[Any], None]:
    """`call` for other threads: it runs in the event loop, and not at all once that is closed."""

    def later(argument: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call, argument)

    return later


#: The one of this process.
forker = Forker()
os.register_at_fork(after_in_child=lambda: forker.__init__())  # type: ignore[misc]


def described(status: int) -> str:
    """The end of a process in words, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"its code ended the process with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
    return f"its process was killed by signal {-code} ({name}){hint}"
