"""Many requests, one lookup at a time: whoever asks while one is under way shares the next."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Lookups that have run over their time and still hold a thread; at this many, callers are refused at once.
MAX_OVERDUE = 4


class LookupTimeout(Exception):
    """The values did not come in time."""


class _Batch(Generic[K, V]):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.keys: dict[K, None] = {}
        self.done: asyncio.Future[dict[K, V]] = loop.create_future()
        # Every waiter may have given up by then; an error that nobody awaits is no news.
        self.done.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.overdue = False


class Lookups(Generic[K, V]):
    """Reads keys through `read`, which blocks, in batches that form while the one before is under way.

    There is no waiting for a batch to fill: a lone request is read at once.

    Args:
        read: Distinct keys to their values, in order. Runs in a thread.
        timeout_s: Seconds that a caller waits, its share of queueing included.
    """

    def __init__(self, read: Callable[[Sequence[K]], Sequence[V]], timeout_s: float) -> None:
        self._read, self.timeout_s = read, timeout_s
        self._threads = ThreadPoolExecutor(MAX_OVERDUE, thread_name_prefix="features")
        self._waiting: _Batch[K, V] | None = None
        self._running: _Batch[K, V] | None = None
        self._overdue = 0

    async def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Values by key.

        Raises:
            LookupTimeout: They took longer than `timeout_s`.
            Exception: Whatever `read` raised.
        """
        if self._overdue >= MAX_OVERDUE:
            raise LookupTimeout
        loop = asyncio.get_running_loop()
        batch = self._waiting = self._waiting or _Batch(loop)
        batch.keys.update(dict.fromkeys(keys))
        if self._running is None:
            self._start(loop)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.shield(batch.done)
        except TimeoutError:
            raise LookupTimeout from None

    def close(self) -> None:
        """Take no more; a lookup that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, None
        self._running = batch
        if batch is None or self._overdue >= MAX_OVERDUE:
            self._running = None
            return
        late = loop.call_later(self.timeout_s, self._give_up_on, batch, loop)
        work = loop.run_in_executor(self._threads, self._values, list(batch.keys))
        work.add_done_callback(lambda future: self._finish(batch, future, late, loop))

    def _values(self, keys: Sequence[K]) -> dict[K, V]:
        return dict(zip(keys, self._read(keys), strict=True))

    def _give_up_on(self, batch: _Batch[K, V], loop: asyncio.AbstractEventLoop) -> None:
        """A lookup that hangs must not hold up those behind it."""
        batch.overdue = True
        self._overdue += 1
        self._start(loop)

    def _finish(
        self,
        batch: _Batch[K, V],
        work: "asyncio.Future[dict[K, V]]",
        late: asyncio.TimerHandle,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        late.cancel()
        if batch.overdue:
            self._overdue -= 1
        if work.cancelled():
            batch.done.cancel()
        elif error := work.exception():
            batch.done.set_exception(error)
        else:
            batch.done.set_result(work.result())
        if self._running is batch:
            self._start(loop)
