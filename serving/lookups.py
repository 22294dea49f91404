"""Many requests, one lookup at a time: whoever asks while one is under way shares the next."""

import asyncio
import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

log = logging.getLogger("serving")
#: Lookups that have run over their time and still hold a thread; at this many, callers are refused at once.
MAX_OVERDUE = 4
#: Threads that hang altogether, those of troubles past included; at this many, only a restart helps.
MOST_HUNG = 32
#: Seconds until a lookup on new connections tries whether the store answers again; doubled each time it does not.
PROBE_S, LONGEST_PROBE_S = 1.0, 300.0


#: Turns of the event loop, at most, in which a lookup's keys are collected from what has arrived.
MOST_TURNS = 8


class LookupTimeout(Exception):
    """The values did not come in time."""


class _Batch(Generic[K, V]):
    """The keys of one lookup, and the futures of those who wait for it, each with its own keys."""

    __slots__ = ("keys", "late", "waiters")

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.waiters: list[tuple[asyncio.Future[dict[K, V]], list[K]]] = []
        self.late: asyncio.TimerHandle | None = None


class _Worker:
    """A thread that does one piece of work after another; a daemon, since one that hangs must not hold up the end."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="features").start()

    def _work(self) -> None:
        while (work := self.inbox.get()) is not None:
            work()


class Lookups(Generic[K, V]):
    """Reads keys through `read`, which blocks, in batches that form while the one before is under way.

    There is no waiting for a batch to fill: a lone request is read at once. A lookup that hangs holds up nobody
    behind it. After `MAX_OVERDUE` of them callers are refused at once, but for one every now and then, who tries
    the store on new connections; once that one is answered all are again.

    Args:
        read: Distinct keys to their values, in order. Runs in a thread.
        timeout_s: Seconds that a caller waits, its share of queueing included.
        reconnect: Lets go of connections, so that the next `read` makes new ones. Runs in a thread.
    """

    def __init__(
        self,
        read: Callable[[Sequence[K]], Sequence[V]],
        timeout_s: float,
        reconnect: Callable[[], None] = lambda: None,
    ) -> None:
        self._read, self.timeout_s, self._reconnect = read, timeout_s, reconnect
        self._waiting: _Batch[K, V] | None = None
        self._running: _Batch[K, V] | None = None
        self._idle: list[_Worker] = []
        #: Lookups that hang now, and those that still do since a trouble that is over.
        self._overdue: set[_Batch[K, V]] = set()
        self._lost: set[_Batch[K, V]] = set()
        self._pause_s, self._probe_at, self._closed = PROBE_S, 0.0, False

    async def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Values by key, of these keys and of others that shared the lookup.

        Raises:
            LookupTimeout: They took longer than `timeout_s`.
            Exception: Whatever `read` raised.
        """
        loop = asyncio.get_running_loop()
        if len(self._overdue) >= MAX_OVERDUE and not self._may_probe(loop):
            raise LookupTimeout
        batch = self._waiting = self._waiting or _Batch()
        asked = list(keys)
        batch.keys.update(dict.fromkeys(asked))
        waiter: asyncio.Future[dict[K, V]] = loop.create_future()
        batch.waiters.append((waiter, asked))
        if self._running is None and len(batch.waiters) == 1:
            loop.call_soon(self._collect, batch, 0, MOST_TURNS, loop)
        timer = loop.call_later(self.timeout_s, _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def close(self) -> None:
        """Take no more; a lookup that hangs is not waited for."""
        self._closed = True
        for worker in self._idle:
            worker.inbox.put(None)
        self._idle.clear()

    def _collect(self, batch: _Batch[K, V], seen: int, turns: int, loop: asyncio.AbstractEventLoop) -> None:
        """Read once a turn of the event loop has brought nobody else: a lookup costs the same for one and for thirty."""
        if self._waiting is not batch or self._running is not None:
            return
        if seen < len(batch.waiters) and turns:
            loop.call_soon(self._collect, batch, len(batch.waiters), turns - 1, loop)
        else:
            self._start(loop)

    def _may_probe(self, loop: asyncio.AbstractEventLoop) -> bool:
        few = len(self._overdue) + len(self._lost) < MOST_HUNG
        return few and self._running is None and loop.time() >= self._probe_at

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, None
        self._running = batch
        if batch is None:
            return
        batch.late = loop.call_later(self.timeout_s, self._give_up_on, batch, loop)
        probes = len(self._overdue) >= MAX_OVERDUE
        worker = self._idle.pop() if self._idle else _Worker()

        def work() -> None:
            outcomes = self._outcomes(batch, probes)
            try:
                loop.call_soon_threadsafe(self._finish, batch, worker, outcomes, loop)
            except RuntimeError:  # the event loop is closed: the process ends
                worker.inbox.put(None)

        worker.inbox.put(work)

    def _outcomes(self, batch: _Batch[K, V], reconnect: bool) -> list[dict[K, V] | Exception]:
        """What each waiter gets. Where all would get an error, each is tried alone: one bad key is nobody else's."""
        if reconnect:
            try:
                self._reconnect()
            except Exception:
                log.exception("the feature store cannot be connected to anew")
        together = self._try(batch.keys)
        if isinstance(together, dict) or len(batch.waiters) == 1:
            return [together] * len(batch.waiters)
        return [together if waiter.done() else self._try(keys) for waiter, keys in batch.waiters]

    def _try(self, keys: Iterable[K]) -> dict[K, V] | Exception:
        asked = list(dict.fromkeys(keys))
        try:
            return dict(zip(asked, self._read(asked), strict=True))
        except BaseException as raised:  # a store's driver may raise anything; the thread lives on
            return raised if isinstance(raised, Exception) else RuntimeError(type(raised).__name__)

    def _give_up_on(self, batch: _Batch[K, V], loop: asyncio.AbstractEventLoop) -> None:
        """A lookup that hangs must not hold up those behind it."""
        self._overdue.add(batch)
        self._running = None
        if len(self._overdue) < MAX_OVERDUE:
            self._start(loop)
            return
        self._waiting = None  # who waits there is told by their own clock
        self._probe_at = loop.time() + self._pause_s
        log.error(
            "%d feature lookups hang; trying again in %g s",
            len(self._overdue) + len(self._lost),
            self._pause_s,
        )
        self._pause_s = min(2 * self._pause_s, LONGEST_PROBE_S)

    def _finish(
        self,
        batch: _Batch[K, V],
        worker: _Worker,
        outcomes: list[dict[K, V] | Exception],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        assert batch.late
        batch.late.cancel()
        if self._closed:
            worker.inbox.put(None)
        else:
            self._idle.append(worker)
        self._overdue.discard(batch)
        self._lost.discard(batch)
        for (waiter, _), outcome in zip(batch.waiters, outcomes, strict=True):
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)
        if self._running is batch:
            if len(self._overdue) >= MAX_OVERDUE:  # it answers again, if only to say no
                self._lost |= self._overdue
                self._overdue.clear()
            if any(isinstance(outcome, dict) for outcome in outcomes):
                self._pause_s = PROBE_S
            self._start(loop)


def _expire(waiter: "asyncio.Future[Any]") -> None:
    if not waiter.done():
        waiter.set_exception(LookupTimeout())
