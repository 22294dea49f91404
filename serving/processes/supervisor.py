"""Keeps a process of one version running: restarts it with backoff, and says when the version is unhealthy."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus

from serving.isolation.messages import Load
from serving.operations.metrics import Metrics
from serving.processes.process import GRACE_S, ModelProcess
from serving.web.problems import Problem

log = logging.getLogger("serving")
#: So many failures within so many seconds make a version unhealthy, and so many calls in a row that take too long.
MAX_FAILURES, WINDOW_S, MAX_LATE = 5, 60.0, 5
#: Seconds before the first restarts; an unhealthy version waits `UNHEALTHY_S`, twice as long each time.
PAUSES_S, UNHEALTHY_S, MAX_PAUSE_S = (0.0, 0.1, 0.5, 1.0), 5.0, 60.0
#: Processes that get no new calls and finish their old ones, at most.
MAX_RETIRING = 4


class Supervisor:
    """The processes of one served version. All methods belong to the event loop's thread.

    A process that crashes is replaced. A process that does not confirm the end of a call retires: it gets no further
    calls, another process takes them, and it is killed when its other calls have ended.

    Args:
        first: A process that has loaded the model.
        load: Loads it again.
        limit_s: Longest load.
        version: For metrics and log.

    Attributes:
        changed: Called when there is a process again, and when the version becomes unhealthy.
    """

    def __init__(
        self, first: ModelProcess, load: Load, limit_s: float, version: int, metrics: Metrics
    ) -> None:
        self._load, self._limit_s, self._version, self._metrics = load, limit_s, version, metrics
        self._current: ModelProcess | None = None
        self.changed: Callable[[], None] = lambda: None
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES * 2)
        self._late = 0
        self._unhealthy, self._next_try = "", 0.0
        self._retiring: set[ModelProcess] = set()
        self._waiting: asyncio.Future[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._use(first)
        self._watch = self._loop.call_later(GRACE_S, self._ping)

    @property
    def running(self) -> ModelProcess | None:
        """The process that takes calls; None while it is started again."""
        return self._current if self._current and not self._current.ended else None

    @property
    def trouble(self) -> Problem | None:
        """503 while the version is unhealthy."""
        if not self._unhealthy:
            return None
        after_s = max(1, round(self._next_try - time.monotonic()))
        detail = f"{self._load.model} does not answer: {self._unhealthy}. It is started again."
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_unhealthy", detail, after_s)

    @property
    def retiring(self) -> int:
        """Processes with calls that could not be stopped yet."""
        return len(self._retiring)

    async def process(self) -> ModelProcess:
        """The process to call, once there is one.

        Raises:
            Problem: 503, the version is unhealthy.
        """
        while not (process := self.running):
            if trouble := self.trouble:
                raise trouble
            self._waiting = self._waiting or self._loop.create_future()
            await asyncio.shield(self._waiting)
        return process

    def answered(self) -> None:
        """A call was answered in time."""
        self._late = 0

    def took_too_long(self) -> None:
        """A call was stopped because it took too long. A version that answers none in time is started again."""
        self._late += 1
        if self._late >= MAX_LATE and self._current:
            self._unhealthy = f"its last {self._late} calls took too long"
            self.retire(self._current)

    def retire(self, process: ModelProcess) -> None:
        """Give a process no further calls, and end it when its calls have ended."""
        if process is not self.running or len(self._retiring) >= MAX_RETIRING:
            return
        log.warning("%s: process %d does not stop a call and is replaced", self._load.model, process.pid)
        self._retiring.add(process)
        self._end_if_idle()
        self._replace("a call could not be stopped")

    def close(self) -> None:
        """End all processes. No call uses them any longer."""
        self._closed = True
        self._watch.cancel()
        if self._restarting:
            self._restarting.cancel()
        for process in (*self._retiring, *filter(None, [self._current])):
            process.kill("the version is no longer served")

    def _use(self, process: ModelProcess) -> None:
        self._current, self._unhealthy = process, ""
        process.on_end, process.on_stuck = self._ended, self.retire
        self._wake()

    def _ended(self, process: ModelProcess) -> None:
        self._retiring.discard(process)
        if process is self._current and not self._closed:
            log.error("%s: %s", self._load.model, process.ended)
            self._metrics.crashed(self._version)
            self._replace(process.ended)

    def _replace(self, reason: str) -> None:
        self._current = None
        self._failed(reason)
        self._restarting = asyncio.create_task(self._restart())
        if self._unhealthy:
            self._wake()

    def _failed(self, reason: str) -> None:
        now = time.monotonic()
        self._failures.append(now)
        while self._failures[0] < now - WINDOW_S:
            self._failures.popleft()
        count = len(self._failures)
        if count >= MAX_FAILURES:
            self._unhealthy = f"{count} failures within {WINDOW_S:g} s, the last one: {reason}"
        pause_s = PAUSES_S[count - 1] if count <= len(PAUSES_S) else UNHEALTHY_S * 2 ** (count - MAX_FAILURES)
        self._next_try = now + min(MAX_PAUSE_S, pause_s)

    async def _restart(self) -> None:
        while True:
            await asyncio.sleep(self._next_try - time.monotonic())
            self._metrics.restarted(self._version)
            try:
                async with asyncio.timeout(self._limit_s):
                    process = await ModelProcess.start(self._load)
            except Exception as error:  # a model's code may raise anything
                reason = str(error) or f"it was not loaded within {self._limit_s:g} s"
                log.error("%s cannot be started again: %s", self._load.model, reason)
                self._failed(reason)
                if self._unhealthy:
                    self._wake()
                continue
            self._use(process)
            return

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.set_result(None)
            self._waiting = None
        self.changed()

    def _ping(self) -> None:
        if self._current and self._current.loaded.waits:
            self._current.ping()
        self._end_if_idle()
        self._watch = self._loop.call_later(GRACE_S, self._ping)

    def _end_if_idle(self) -> None:
        """Kill the retiring processes that have no call but those that do not end."""
        for process in list(self._retiring):
            if not process.wanted:
                process.kill("it was replaced")
