"""Many requests, one lookup at a time: whoever asks while one is under way shares the next."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
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


#: Who waits, and for which keys.
Waiter = tuple[asyncio.Future[dict[K, V]], list[K]]


class LookupTimeout(Exception):
    """The values did not come in time."""


class _Batch(Generic[K, V]):
    """Those who wait for one lookup."""

    __slots__ = ("late", "waiters")

    def __init__(self) -> None:
        self.waiters: list[Waiter[K, V]] = []
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
            # A store that takes longer than this to say no is not asked again for each caller.
            until = time.monotonic() + self.timeout_s / 2
            try:
                if probes:
                    self._connect_anew()
                outcome = self._try(batch.waiters)
                answered = isinstance(outcome, dict)
                if isinstance(outcome, Exception):
                    for some, own in self._apart(batch.waiters, outcome, until):
                        answered |= isinstance(own, dict)
                        loop.call_soon_threadsafe(_tell, some, own)
                loop.call_soon_threadsafe(self._finish, batch, worker, outcome, answered, loop)
            except RuntimeError:  # the event loop is closed: the process ends
                worker.inbox.put(None)

        worker.inbox.put(work)

    def _connect_anew(self) -> None:
        try:
            self._reconnect()
        except Exception:
            log.exception("the feature store cannot be connected to anew")

    def _apart(
        self, waiters: list[Waiter[K, V]], error: Exception, until: float
    ) -> Iterator[tuple[list[Waiter[K, V]], dict[K, V] | Exception]]:
        """What those get who failed together: each half is read alone, and so on, since one bad key is nobody else's."""
        if len(waiters) == 1 or time.monotonic() >= until:
            yield waiters, error
            return
        middle = len(waiters) // 2
        for half in (waiters[:middle], waiters[middle:]):
            outcome = self._try(half)
            if isinstance(outcome, Exception):
                yield from self._apart(half, outcome, until)
            else:
                yield half, outcome

    def _try(self, waiters: list[Waiter[K, V]]) -> dict[K, V] | Exception:
        asked = list(dict.fromkeys(key for _, keys in waiters for key in keys))
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
        outcome: dict[K, V] | Exception,
        answered: bool,
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
        _tell(batch.waiters, outcome)  # but those who have been told already
        if self._running is batch:
            if len(self._overdue) >= MAX_OVERDUE:  # it answers again, if only to say no
                self._lost |= self._overdue
                self._overdue.clear()
            if answered:
                self._pause_s = PROBE_S
            self._start(loop)


def _tell(waiters: list[Waiter[K, V]], outcome: dict[K, V] | Exception) -> None:
    for waiter, _ in waiters:
        if waiter.done():
            continue
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)


def _expire(waiter: "asyncio.Future[Any]") -> None:
    if not waiter.done():
        waiter.set_exception(LookupTimeout())
