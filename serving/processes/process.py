"""One model process, as the gateway sees it: its load, its calls and its end."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Self

from mlops_lib.errors import ModelError
from serving.isolation.failures import exception
from serving.isolation.messages import (
    Answer,
    Answers,
    Begun,
    Cancel,
    Event,
    Failed,
    GiveBack,
    Load,
    Loaded,
    Message,
    Ping,
    Pong,
    ToGateway,
    Took,
)
from serving.isolation.wire import Reader, WireError, Writer
from serving.processes.forker import Child, described, forker
from serving.web.problems import Problem

#: Seconds for a process to confirm the end of a call, to answer a ping, and to be reported after its socket closed.
GRACE_S = 1.0
#: Seconds for a message that is on its way.
ON_ITS_WAY_S = 0.05


class Ended(Exception):
    """The process ended, or was given up, for the reason in the text, before it answered.

    Attributes:
        begun: Whether the model may have worked on the call. Otherwise another process can.
    """

    def __init__(self, reason: str, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


_REPLACED = Ended("the process was replaced", begun=False)
#: Gets what answers a call: `Event`s, and at last `Answers`, `Answer`, `Failed` or the end of the process.
Handler = Callable[[Answers | Answer | Event | Failed | Ended], None]


class ModelProcess(asyncio.BufferedProtocol):
    """A running model process. All methods belong to the event loop's thread.

    Attributes:
        loaded: Its answer to `Load`.
        ended: Why it has ended; "" while it runs.
        on_end: Called when it ends, after the handlers of its calls.
        on_stuck: Called when it does not confirm the end of a cancelled call.
        on_blocked: Called when its event loop does not answer a ping.
        on_back: Called when its event loop answers a ping.
    """

    loaded: Loaded

    def __init__(self) -> None:
        self.ended = ""
        nothing: Callable[[ModelProcess], None] = lambda process: None
        self.on_end = self.on_stuck = self.on_blocked = self.on_back = nothing
        self._loop = asyncio.get_running_loop()
        self._reader: Reader[Any] = Reader(ToGateway)  # type: ignore[arg-type]
        self._writer = Writer(pickles=True)
        self._ids = itertools.count(1)
        self._calls: dict[int, Handler] = {}
        #: Calls that nobody waits for any longer, and those that the model works on.
        self._dropped: set[int] = set()
        self._begun: set[int] = set()
        self._load: asyncio.Future[Loaded] = self._loop.create_future()
        #: Number of the ping that has no answer yet; 0: none.
        self._pinged = 0
        self._transport: asyncio.Transport | None = None
        self._child: Child | None = None
        #: How the process ended, told before the end of its connection; and whether that came.
        self._exit, self._lost = "", False

    @classmethod
    async def start(cls, load: Load, kinds: Sequence[str]) -> Self:
        """Fork a process and load a model in it. Cancel it, and the process ends.

        Args:
            kinds: The model's wrapper and flavours.

        Raises:
            ModelError: The process cannot be started, its model cannot be loaded, or the load ends the process.
            Exception: Of the model's code.
        """
        self = cls()
        self._child = await forker.fork(kinds, self._exited)
        try:
            if not self.ended:
                await self._loop.create_unix_connection(lambda: self, sock=self._child.connection)
                self._send(load)
            self.loaded = await self._load
            if not self.connected:
                reason = self.ended or self._exit or "its process closed its connection"
                raise ModelError(f"The model was loaded, and then {reason}.")
        except BaseException:
            self.kill("it was not loaded")
            if not self._transport:
                self._child.connection.close()
            raise
        return self

    @property
    def wanted(self) -> int:
        """Calls that have not ended, and whose answer somebody waits for."""
        return len(self._calls) - len(self._dropped)

    @property
    def connected(self) -> bool:
        """Whether calls reach it. They do not between its death and the news of that, which make it `ended`."""
        if self.ended or self._exit:
            return False
        return self._transport is not None and not self._transport.is_closing()

    @property
    def pid(self) -> int:
        """Its process id, and that of its process group."""
        assert self._child
        return self._child.pid

    def call(self, make: Callable[[int], Message], handler: Handler) -> int:
        """Send a message that is answered.

        Args:
            make: Number of the call to the message.

        Returns:
            The number, for `cancel`.

        Raises:
            Problem: 413, the message is too large.
        """
        number = next(self._ids)
        self._calls[number] = handler
        try:
            self._send(make(number))
        except BaseException as error:
            del self._calls[number]
            if isinstance(error, WireError):
                raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"{error}.") from error
            raise
        return number

    def took(self, number: int, events: int) -> None:
        """Let a stream go on that has waited for its events to be taken."""
        if number in self._calls:
            self._send(Took(number, events))

    def drop(self, number: int, heard: Handler = lambda message: None) -> None:
        """Nobody waits for the answer of a call any longer; `heard` gets it."""
        if number in self._calls:
            self._calls[number] = heard
            self._dropped.add(number)

    def cancel(self, number: int, heard: Handler = lambda message: None) -> None:
        """Drop a call, and end it where the model waits; `heard` gets its last message."""
        if number not in self._calls:
            heard(Ended("the call has ended", begun=True))
            return
        self.drop(number, heard)
        if self.loaded.waits:
            self._send(Cancel(number))
            self._loop.call_later(GRACE_S, self._require_end, number)

    def give_back(self) -> None:
        """End the calls that the model has not begun with, also where its event loop is blocked.

        Their handlers get an `Ended`.
        """
        for number in self._not_begun():
            self._send(GiveBack(number))
        self._loop.call_later(ON_ITS_WAY_S, self._give_up)

    def interrupt(self) -> None:
        """End the batch of a model that computes. Its handler gets a `Failed` of kind ``interrupted``, or its answers."""
        assert self._child
        self._child.interrupt()

    def ping(self) -> None:
        """Ask whether its event loop answers, unless it has no calls or has been asked."""
        if self._calls and not self._pinged and not self.ended:
            self._pinged = next(self._ids)
            self._send(Ping(self._pinged))
            self._loop.call_later(GRACE_S, self._require_pong, self._pinged)

    def kill(self, reason: str) -> None:
        """End the process and all that it started."""
        if not self.ended and self._child:
            self._child.kill()
            self._end(self._exit or reason)

    # Of the protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self.ended:
            self._transport.abort()  # type: ignore[union-attr]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for message in self._reader.received(nbytes):
                self._take(message)
        except WireError as error:
            self.kill(f"its process sent {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._exit:
            self._end(self._exit)
        else:
            # Its exit status is on its way. A process that closes its socket and goes on is of no use.
            self._loop.call_later(GRACE_S, self.kill, "its process closed its connection")

    def _take(self, message: Any) -> None:
        if isinstance(message, Pong):
            self._pinged = 0
            self.on_back(self)
        elif isinstance(message, Loaded):
            if not self._load.done():
                self._load.set_result(message)
        elif isinstance(message, Begun):
            if message.id in self._calls:
                self._begun.add(message.id)
        elif isinstance(message, Event):
            if handler := self._calls.get(message.id):
                handler(message)
        elif message.id in self._calls:
            ended = isinstance(message, Failed) and message.kind == "interrupted"
            given_back = ended and self.loaded.waits and message.id in self._not_begun()
            self._dropped.discard(message.id)
            self._begun.discard(message.id)
            self._calls.pop(message.id)(_REPLACED if given_back else message)
        elif isinstance(message, Failed) and not self._load.done():
            self._load.set_exception(exception(message))

    def _send(self, message: Message) -> None:
        for part in self._writer.frame(message):
            # Asked for each part: the first may find out, and uvloop raises on a closed transport.
            if self._transport and self.connected:
                self._transport.write(part)

    def _exited(self, status: int) -> None:
        self._exit = described(status)
        if self._transport is None or self._lost:
            self._end(self._exit)
        else:
            # Its last messages may be unread yet, such as why it could not load: the connection's end comes after them. A
            # process that it started may keep the connection open.
            self._loop.call_later(GRACE_S, self._end, self._exit)

    def _end(self, reason: str) -> None:
        if self.ended:
            return
        self.ended = reason
        if self._transport:
            self._transport.abort()
        if not self._load.done():
            self._load.set_exception(ModelError(f"The model was not loaded: {reason}."))
            self._load.exception()  # read here: the load may have been cancelled
        calls, self._calls, self._dropped = self._calls, {}, set()
        for number, handler in calls.items():
            handler(Ended(reason, begun=not self.loaded.waits or number in self._begun))
        self.on_end(self)

    def _not_begun(self) -> set[int]:
        return self._calls.keys() - self._begun - self._dropped

    def _give_up(self) -> None:
        for number in self._not_begun():
            handler = self._calls[number]
            self.drop(number)
            handler(_REPLACED)

    def _require_end(self, number: int) -> None:
        if number in self._calls:
            self.on_stuck(self)

    def _require_pong(self, number: int) -> None:
        if self._pinged == number:
            self.on_blocked(self)
