"""Keeps a process of one version running."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from serving.isolation.messages import Load
from serving.operations.metrics import Metrics
from serving.processes.health import Health
from serving.processes.process import GRACE_S, ModelProcess
from serving.web.problems import Problem

log = logging.getLogger("serving")
#: Processes that get no new calls and finish their old ones, at most.
MAX_RETIRING = 4
#: A version without a process that answers is unhealthy after this time: its load may hang.
MAX_DOWN_S = 10.0


class Supervisor:
    """The processes of one served version. All methods belong to the event loop's thread.

    A process that crashes is started again, with backoff. One with a call that cannot be stopped is replaced: once
    another process is ready, that takes the calls, and the old one is killed when its other calls have ended. While a
    process does not answer pings, calls wait for the first of the two that answers.

    Args:
        first: A process that has loaded the model.
        load: Loads it again.
        kinds: Its wrapper and flavours.
        limit_s: Longest load.
        version: For metrics and log.

    Attributes:
        name: Name and version of the model.
        changed: Called when there is a process again, and when the version becomes unhealthy.
    """

    def __init__(
        self,
        first: ModelProcess,
        load: Load,
        kinds: Sequence[str],
        limit_s: float,
        version: int,
        metrics: Metrics,
    ) -> None:
        self._load, self._kinds, self._limit_s = load, kinds, limit_s
        self._version, self._metrics = version, metrics
        self.name = load.model
        self.changed: Callable[[], None] = lambda: None
        self.health = Health()
        self._current: ModelProcess | None = None
        self._is_blocked = self._is_stuck = False
        #: Since when no process answers; 0: one does.
        self._down_since = 0.0
        self._retiring: set[ModelProcess] = set()
        self._waiting: asyncio.Future[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._use(first)
        self._watch = self._loop.call_later(GRACE_S, self._look)

    @property
    def running(self) -> ModelProcess | None:
        """The process that takes calls; None while it is started again, or does not answer pings."""
        process = self._current
        return process if process and process.connected and not self._is_blocked else None

    @property
    def trouble(self) -> Problem | None:
        """503 while the version does not answer."""
        now = time.monotonic()
        reason = self.health.reason
        if not reason and self._down_since and now > self._down_since + MAX_DOWN_S:
            ended = "its event loop is blocked" if self._is_blocked else "its process has ended"
            reason = f"{ended}, and no other one is ready after {MAX_DOWN_S:g} s"
        if not reason:
            return None
        after_s = max(1, round(self.health.next_try - now))
        detail = f"{self.name} does not answer: {reason}. It is started again."
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_unhealthy", detail, after_s)

    @property
    def retiring(self) -> int:
        """Processes with calls that could not be stopped yet."""
        return len(self._retiring)

    async def process(self) -> ModelProcess:
        """The process to call, once there is one.

        Raises:
            Problem: 503, the version does not answer.
        """
        while not (process := self.running):
            if trouble := self.trouble:
                raise trouble
            self._waiting = self._waiting or self._loop.create_future()
            await asyncio.shield(self._waiting)
        return process

    def took_too_long(self) -> None:
        """A call was stopped because it took too long. A version that answers none in time is started again."""
        if self.health.took_too_long() and self._current:
            self._current.kill(self.health.reason)

    def close(self) -> None:
        """End all processes. No call uses them any longer."""
        self._closed = True
        self._watch.cancel()
        if self._starting:
            self._starting.cancel()
        for process in (*self._retiring, *filter(None, [self._current])):
            process.kill("the version is no longer served")

    def _use(self, process: ModelProcess) -> None:
        if (old := self._current) and not old.ended:
            self._retiring.add(old)
        self._current, self._is_blocked, self._is_stuck, self._down_since = process, False, False, 0.0
        process.on_end, process.on_stuck = self._ended, self._stuck
        process.on_blocked, process.on_back = self._blocked, self._back
        self.health.loaded()
        if old:
            old.give_back()
        self._kill_idle()
        self._wake()

    def _ended(self, process: ModelProcess) -> None:
        self._retiring.discard(process)
        if process is not self._current or self._closed:
            return
        log.error("%s: %s", self.name, process.ended)
        self._metrics.crashed(self._version)
        self._current, self._is_blocked, self._is_stuck = None, False, False
        self._down_since = self._down_since or time.monotonic()
        self.health.failed(process.ended)
        if not self._starting:
            self._starting = asyncio.create_task(self._start())
        self._wake()

    def _stuck(self, process: ModelProcess) -> None:
        if process is self._current:
            self._is_stuck = True
            self._replace()

    def _blocked(self, process: ModelProcess) -> None:
        if process is self._current:
            self._is_blocked = True
            self._down_since = self._down_since or time.monotonic()
            self._replace()

    def _replace(self) -> None:
        """Start another process for the calls to come."""
        if self._current and not self._starting and len(self._retiring) < MAX_RETIRING:
            log.warning("%s: process %d has a call that does not end", self.name, self._current.pid)
            self._starting = asyncio.create_task(self._start())

    def _back(self, process: ModelProcess) -> None:
        if process is self._current and self._is_blocked:
            self._is_blocked, self._down_since = False, 0.0
            if self._starting and not self._is_stuck:
                self._starting.cancel()
                self._starting = None
            self._wake()

    async def _start(self) -> None:
        while True:
            await asyncio.sleep(self.health.next_try - time.monotonic())
            self._metrics.restarted(self._version)
            try:
                async with asyncio.timeout(self._limit_s):
                    process = await ModelProcess.start(self._load, self._kinds)
            except Exception as error:  # a model's code may raise anything
                reason = str(error) or f"it was not loaded within {self._limit_s:g} s"
                log.error("%s cannot be started again: %s", self.name, reason)
                self.health.failed(reason)
                self._wake()
            else:
                self._starting = None
                self._use(process)
                return

    def _wake(self) -> None:
        """Let those who wait look again: at a process, or at the trouble."""
        if self._waiting:
            self._waiting.set_result(None)
            self._waiting = None
        self.changed()

    def _look(self) -> None:
        if self._current and self._current.loaded.waits:
            self._current.ping()
        if self._is_stuck or self._is_blocked:
            self._replace()  # where there were too many until now
        if self.trouble:
            self._wake()  # those who wait get the trouble
        self._kill_idle()
        self._watch = self._loop.call_later(GRACE_S, self._look)

    def _kill_idle(self) -> None:
        """Kill the retiring processes that have no call but those that nobody waits for."""
        for process in list(self._retiring):
            if not process.wanted:
                process.kill("it was replaced")
