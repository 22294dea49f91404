"""Many requests, one lookup at a time: requests that arrive while a lookup is under
way share the next one."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from serving.blocking_calls import MAX_HUNG, Call, DaemonThreads, gather
from serving.features.waiters import Read, Waiter, read_apart, read_for, settle

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

log = logging.getLogger("serving")
#: Lookups that hang; with as many as this, callers are refused at once.
MAX_OVERDUE = 4
#: Seconds until one caller may try the store again on new connections;
#: doubled each time the store does not answer.
PROBE_S, MAX_PROBE_S = 1.0, 300.0


class LookupTimeout(Exception):
    """The values did not come in time."""


class Lookups(Generic[K, V]):
    """Reads keys through `read`, which blocks, in batches that form while the lookup before is under way.

    A lone request is read at once. A lookup that hangs does not hold up the lookups behind it. With
    `MAX_OVERDUE` of them callers are refused at once, except one caller every now and then, who tries the
    store on new connections. When that lookup is answered, all callers are let in again.

    Args:
        read: Distinct keys to their values, in order. Runs in a thread.
        timeout_s: Seconds that a caller waits, for its turn and its lookup together.
        reconnect: Drops the connections, so that the next `read` makes new ones. Runs in a thread.
    """

    def __init__(
        self, read: Read[K, V], timeout_s: float, reconnect: Callable[[], None] = lambda: None
    ) -> None:
        self._read, self.timeout_s, self._reconnect = read, timeout_s, reconnect
        self._threads = DaemonThreads("features")
        self._waiting: list[Waiter[K, V]] = []
        self._running: Call | None = None
        #: Lookups that hang since the store last answered.
        self._overdue: set[Call] = set()
        self._pause_s, self._probe_at = PROBE_S, 0.0

    async def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Values by key, of these keys and of others that shared the lookup.

        Raises:
            LookupTimeout: They took longer than `timeout_s`.
            Exception: Whatever `read` raised.
        """
        loop = asyncio.get_running_loop()
        if len(self._overdue) >= MAX_OVERDUE and not self._may_probe(loop):
            raise LookupTimeout
        waiter: asyncio.Future[dict[K, V]] = loop.create_future()
        self._waiting.append((waiter, list(keys)))
        if self._running is None and len(self._waiting) == 1:
            gather(loop, lambda: len(self._waiting), self._start)
        timer = loop.call_later(self.timeout_s, _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let the threads end; a lookup that hangs is not waited for."""
        self._threads.close()

    def _may_probe(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._threads.hung < MAX_HUNG and self._running is None and loop.time() >= self._probe_at

    def _start(self) -> None:
        """Begin a lookup for all requests that wait."""
        if self._running or not self._waiting:
            return
        waiters, self._waiting = self._waiting, []
        probes = len(self._overdue) >= MAX_OVERDUE
        self._running = self._threads.call(
            partial(self._look_up, probes, asyncio.get_running_loop()),
            waiters,
            self.timeout_s,
            self._finish,
            self._give_up,
        )

    def _look_up(
        self, probes: bool, loop: asyncio.AbstractEventLoop, waiters: list[Waiter[K, V]]
    ) -> tuple[dict[K, V] | Exception, bool]:
        """In a thread: the outcome for all waiters, and whether the store answered any of them."""
        until = time.monotonic() + self.timeout_s / 2
        if probes:
            self._connect_anew()
        outcome = read_for(waiters, self._read)
        answered = isinstance(outcome, dict)
        if isinstance(outcome, Exception):
            for some, own in read_apart(waiters, self._read, outcome, until):
                answered |= isinstance(own, dict)
                loop.call_soon_threadsafe(settle, some, own)
        return outcome, answered

    def _connect_anew(self) -> None:
        try:
            self._reconnect()
        except Exception:
            log.exception("the feature store cannot be connected to anew")

    def _give_up(self, call: Call) -> None:
        """A lookup that hangs must not hold up the lookups behind it."""
        self._overdue.add(call)
        self._running = None
        if len(self._overdue) < MAX_OVERDUE:
            self._start()
            return
        self._waiting = []  # their own timers tell these callers
        self._probe_at = asyncio.get_running_loop().time() + self._pause_s
        log.error("%d feature lookups hang; trying again in %g s", self._threads.hung, self._pause_s)
        self._pause_s = min(2 * self._pause_s, MAX_PROBE_S)

    def _finish(self, call: Call, result: tuple[dict[K, V] | Exception, bool], _: float) -> None:
        outcome, answered = result
        settle(call.about, outcome)
        if call is not self._running:
            self._overdue.discard(call)
            return
        self._running = None
        if len(self._overdue) >= MAX_OVERDUE:  # the store answers again, if only with an error
            self._overdue.clear()
        if answered:
            self._pause_s = PROBE_S
        self._start()


def _expire(waiter: "asyncio.Future[Any]") -> None:
    if not waiter.done():
        waiter.set_exception(LookupTimeout())
