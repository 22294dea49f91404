"""The event loop of a model that waits for others: many calls at once, streams of events, cancellation."""

import asyncio
import os
import select
from contextlib import aclosing
from typing import Any

import numpy as np

from mlops_lib.errors import ModelError
from mlops_lib.llm.accounting.ledger import tally
from mlops_lib.llm.accounting.usage import Usage
from serving.blocking_calls import Interrupted
from serving.inference.json_values import builtins
from serving.inference.predictions import checked
from serving.isolation.call_threads import CallThreads, Jobs, current
from serving.isolation.channel import Channel, end
from serving.isolation.failures import failed
from serving.isolation.loading import Model, loaded
from serving.isolation.messages import (
    WINDOW,
    Answer,
    Ask,
    Begun,
    Cancel,
    ChatRow,
    Event,
    GiveBack,
    KeepsState,
    Message,
    Ping,
    Pong,
    Stream,
    Took,
    ToProcess,
)  # fmt: skip
from serving.isolation.wire import Part, Reader, Writer

#: Seconds between looks at the threads of a call that was cancelled.
POLL_S = 0.005


def serve(channel: Channel, model: Model) -> None:
    """Let the model answer its example, then serve the gateway; does not return."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(CallThreads())
    try:
        message: Message = loaded(model, lambda rows: loop.run_until_complete(model.wrapper.apredict(rows)))
    except BaseException as error:  # a model's code may raise anything
        message = failed(0, error)
    channel.send(message)
    loop.run_until_complete(_connect(channel, model))
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # Of a task that a model's code made. The task has the exception too, and gives it to the call that waits
            # for it; the loop only has to go on.
            continue


async def _connect(channel: Channel, model: Model) -> None:
    channel.connection.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: Waiting(model), sock=channel.connection)


class _Call:
    """A call under way: its task, its jobs in threads, and the tokens it has cost so far."""

    __slots__ = ("begun", "cancelled", "jobs", "number", "task", "usage", "window")

    def __init__(self, number: int) -> None:
        self.number, self.begun, self.cancelled = number, False, False
        self.jobs, self.usage = Jobs(), Usage()
        self.window = asyncio.Semaphore(WINDOW)
        self.task: asyncio.Task[tuple[Any, list[int]]]


class Waiting(asyncio.BufferedProtocol):
    """Answers calls about one model, each in a task of its own."""

    def __init__(self, model: Model) -> None:
        self._model, self._calls = model, dict[int, _Call]()
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._reader = Reader[ToProcess](ToProcess, unpickles=True)
        self._frame = Writer().frame
        self._transport: asyncio.Transport
        self._unread = select.poll()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread.register(transport.get_extra_info("socket"), select.POLLIN)

    def get_buffer(self, _: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, count: int) -> None:
        for message in self._reader.received(count):
            self._handle(message)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _: Exception | None) -> None:
        end()

    def _handle(self, message: ToProcess) -> None:
        if isinstance(message, Cancel | GiveBack):
            self._cancel(message)
        elif isinstance(message, Took):
            self._took(message)
        elif isinstance(message, Ping):
            self._send(Pong(message.id))
        else:
            self._start(message)

    def _start(self, message: Any) -> None:
        call = self._calls[message.id] = _Call(message.id)
        token = current.set(call.jobs)
        call.task = self._loop.create_task(self._work(message, call))
        current.reset(token)
        call.task.add_done_callback(lambda _: self._ended(call))

    def _took(self, message: Took) -> None:
        if call := self._calls.get(message.id):
            for _ in range(message.events):
                call.window.release()

    def _cancel(self, message: Cancel | GiveBack) -> None:
        call = self._calls.get(message.id)  # None: its answer is on its way
        if call and not call.cancelled and not (call.begun and isinstance(message, GiveBack)):
            call.cancelled = True
            call.task.cancel()

    async def _work(self, message: Any, call: _Call) -> tuple[Any, list[int]]:
        while self._unread.poll(0):  # perhaps a `GiveBack`, which came while the loop was blocked
            await asyncio.sleep(0)
        call.begun = True
        self._send(Begun(call.number))
        with tally() as call.usage:
            return await self._answer(message)

    async def _answer(self, message: Any) -> tuple[Any, list[int]]:
        """The predictions, and the places of those that are not finite."""
        model = self._model
        match message:
            case Ask(_, rows):
                predictions, bad = checked(await model.wrapper.apredict(model.cast(rows)), len(rows))
                # A copy: another call may put new numbers into the same array before this answer is sent.
                return predictions.copy() if isinstance(predictions, np.ndarray) else builtins(
                    predictions
                ), bad
            case Stream(number, row):
                window = self._calls[number].window
                async with aclosing(model.wrapper.astream(*model.cast([row]))) as events:  # type: ignore[type-var]
                    async for event in events:
                        await window.acquire()
                        await self._writable.wait()
                        self._send(Event(number, event.kind, builtins(event.data), event.path))
                return None, []
            case ChatRow(_, chat):
                return builtins(model.wrapper.chat_row(*chat)), []
            case KeepsState(_, rows):
                return model.keeps_state(rows), []
        raise ModelError(f"{model.name} waits for others, and takes no {type(message).__name__}.")

    def _ended(self, call: _Call) -> None:
        """The call's task has ended: make its last message."""
        try:
            parts = self._frame(Answer(call.number, *call.task.result(), call.usage))
        except BaseException as error:  # a model's code may raise anything, SystemExit too
            if call.cancelled and isinstance(error, asyncio.CancelledError):
                error = Interrupted()
            call.jobs.interrupt()  # nobody waits for the other branches of a graph that failed
            parts = self._frame(failed(call.number, error, call.usage))
        self._confirm(call, parts)

    def _confirm(self, call: _Call, last: list[Part]) -> None:
        """Send a call's last message. That of a cancelled call waits for its threads."""
        if call.cancelled and call.jobs:
            call.jobs.interrupt()
            self._loop.call_later(POLL_S, self._confirm, call, last)
            return
        del self._calls[call.number]
        self._write(last)

    def _send(self, message: Message) -> None:
        self._write(self._frame(message))

    def _write(self, parts: list[Part]) -> None:
        if os.getpid() != self._pid:  # a fork, which a model's code has made
            end()
        for part in parts:
            self._transport.write(part)
