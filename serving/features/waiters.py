"""Requests that share one read of a feature store: read together, and apart when that fails."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: A request that waits, and the keys that it waits for.
Waiter = tuple[asyncio.Future[dict[K, V]], list[K]]
Read = Callable[[Sequence[K]], Sequence[V]]


def read_for(waiters: list[Waiter[K, V]], read: Read[K, V]) -> dict[K, V] | Exception:
    """The values of all keys that the waiters want, or what `read` raised."""
    wanted = list(dict.fromkeys(key for _, keys in waiters for key in keys))
    try:
        return dict(zip(wanted, read(wanted), strict=True))
    except BaseException as raised:  # a store's driver may raise anything; the thread lives on
        return raised if isinstance(raised, Exception) else RuntimeError(type(raised).__name__)


def read_apart(
    waiters: list[Waiter[K, V]], read: Read[K, V], error: Exception, until: float
) -> Iterator[tuple[list[Waiter[K, V]], dict[K, V] | Exception]]:
    """After a read failed: read for each half alone, and so on, so that a bad key fails only its own request.

    Args:
        error: The error of the read for all of them.
        until: No read begins after this (`time.monotonic`): a slow store is not asked again for each request.
    """
    if len(waiters) == 1 or time.monotonic() >= until:
        yield waiters, error
        return
    middle = len(waiters) // 2
    for half in (waiters[:middle], waiters[middle:]):
        outcome = read_for(half, read)
        if isinstance(outcome, Exception):
            yield from read_apart(half, read, outcome, until)
        else:
            yield half, outcome


def settle(waiters: list[Waiter[K, V]], outcome: dict[K, V] | Exception) -> None:
    """Give each waiter that still waits its values or its exception."""
    for waiter, _ in waiters:
        if waiter.done():
            continue
        if isinstance(outcome, Exception):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)
