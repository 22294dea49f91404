"""Counts the identical calls of one row, so that the second sample of a prompt is not the first one again."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Turns:
    """The calls of one row so far, by key."""

    _begun: Counter[str] = field(default_factory=Counter)
    _failed: dict[str, list[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, is_retry: bool) -> int:
        """The turn of a call, counted from 0; a retry has the turn of the attempt that failed."""
        with self._lock:
            if is_retry and (failed := self._failed.get(key)):
                return failed.pop(0)
            self._begun[key] += 1
            return self._begun[key] - 1

    def failed(self, key: str, turn: int) -> None:
        """Keep the turn of a failed attempt for its retry."""
        with self._lock:
            self._failed.setdefault(key, []).append(turn)


_turns: ContextVar[Turns | None] = ContextVar("turns", default=None)


@contextmanager
def one_row() -> Iterator[None]:
    """Count the calls in the block as those of one row."""
    token = _turns.set(Turns())
    try:
        yield
    finally:
        _turns.reset(token)


def current() -> Turns | None:
    """The turns of the row in work; None outside a row, where each call counts as the first."""
    return _turns.get()
