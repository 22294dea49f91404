"""A version's model in a process of its own, as the service calls it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from mlops_lib.errors import InputError
from mlops_lib.llm.accounting import ledger
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import StreamEvent
from serving.inference.predictions import require_finite
from serving.inference.rows import Rows
from serving.isolation.failures import exception
from serving.isolation.messages import (
    WINDOW,
    Answer,
    Ask,
    ChatRow,
    Event,
    Failed,
    KeepsState,
    Load,
    Message,
    Stream,
)
from serving.isolation.wire import Exact
from serving.operations.metrics import Metrics
from serving.processes.executor import BatchExecutor, as_rows, crashed, wrong_count
from serving.processes.forker import set_unless_done
from serving.processes.process import GRACE_S, Ended, ModelProcess
from serving.processes.supervisor import Supervisor
from serving.web.problems import Problem

HALF_WINDOW = WINDOW // 2


class ProcessModel:
    """See `serving.models.model.Model`.

    Args:
        supervisor: Has a process that has loaded the model.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        assert supervisor.running
        self._supervisor, self._loaded = supervisor, supervisor.running.loaded
        self.waits, self.example = self._loaded.waits, self._loaded.example
        self.whole_requests = self._loaded.whole_requests
        self.executor = BatchExecutor(supervisor)

    @classmethod
    async def open(
        cls,
        version: ModelVersion,
        folder: Path,
        kinds: Sequence[str],
        settings: Settings,
        metrics: Metrics,
    ) -> Self:
        """Start a process and load the model in it. Cancel it, and the process ends.

        Args:
            kinds: The model's wrapper and flavours.

        Raises:
            Exception: See `ModelProcess.start`.
        """
        load = Load(str(folder), f"{version.name} version {version.version}", Exact(settings))
        first = await ModelProcess.start(load, kinds)
        limit_s = settings.serving.load_timeout_s
        return cls(Supervisor(first, load, kinds, limit_s, version.version, metrics))

    @property
    def trouble(self) -> Problem | None:
        """See `Model`."""
        return self._supervisor.trouble

    @property
    def hung(self) -> int:
        """See `Model`: a call that cannot be stopped has a process of its own by now,
        which is ended in time."""
        return self._supervisor.retiring

    def rows(self, rows: Rows) -> list[Any]:
        """See `Model`."""
        return rows.tuples() if self._loaded.takes_matrix and not rows.as_request else rows.uncast()

    async def ask(self, rows: list[Any]) -> list[Any]:
        """See `Model`."""
        answer = await self._call(lambda number: Ask(number, Exact(rows)))
        predictions = as_rows(answer.predictions)
        if len(predictions) != len(rows):
            raise wrong_count(len(predictions), len(rows))
        require_finite(answer.bad, 0, len(rows))
        return predictions

    async def stream(self, row: Any) -> AsyncIterator[StreamEvent]:
        """See `Model`."""
        while True:
            process = await self._supervisor.process()
            messages: asyncio.Queue[Any] = asyncio.Queue()
            number = process.call(lambda number: Stream(number, Exact(row)), messages.put_nowait)
            try:
                taken = 0
                while isinstance(message := await messages.get(), Event):
                    yield StreamEvent(message.kind, message.data, message.path)
                    taken += 1
                    if taken % HALF_WINDOW == 0:
                        process.took(number, HALF_WINDOW)
            except BaseException:  # the caller has left, or its time is over
                await _stopped(process, number)
                raise
            if answered(message):
                return

    async def chat_row(
        self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Model`."""
        if not self._loaded.chats:
            raise InputError("This model predicts from rows, not from messages. Send rows to /predict.")
        chat = Exact((list(messages), dict(options)))
        row = (await self._call(lambda number: ChatRow(number, chat))).predictions
        return dict(row)

    async def keeps_state(self, rows: list[Any]) -> bool:
        """See `Model`."""
        if not self._loaded.keeps_state:
            return False
        return bool((await self._call(lambda number: KeepsState(number, Exact(rows)))).predictions)

    def close(self) -> None:
        """See `Model`."""
        self._supervisor.close()

    async def _call(self, make: Callable[[int], Message]) -> Answer:
        while True:
            process = await self._supervisor.process()
            last: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            number = process.call(make, partial(set_unless_done, last))
            try:
                message = await last
            except BaseException:  # the caller has left, or its time is over
                await _stopped(process, number)
                raise
            if answer := answered(message):
                return answer


def answered(message: Answer | Failed | Ended) -> Answer | None:
    """The last message of a call; None: another process must be asked.

    Raises:
        Exception: That the message stands for.
    """
    if isinstance(message, Ended):
        if message.begun:
            raise crashed(message)
        return None
    _count(message)
    if isinstance(message, Failed):
        raise exception(message)
    return message


async def _stopped(process: ModelProcess, number: int) -> None:
    """End a call, and count what it cost: the process tells it when the call has ended."""
    last: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def heard(message: Any) -> None:
        if not isinstance(message, Event):
            set_unless_done(last, message)

    process.cancel(number, heard)
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            if not isinstance(message := await last, Ended):
                _count(message)


def _count(message: Answer | Failed) -> None:
    if message.usage:
        ledger.count(message.usage, None, live=not message.usage.reused)
