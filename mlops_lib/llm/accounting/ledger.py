"""The ledger of an evaluation: limits and totals of calls, tokens and money, and the rate of calls.

The ledger in force is a context variable. Calls inside `Ledger.open` find it; other calls (in a server) have
none.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_lib.llm.accounting.cassette import Cassette
from mlops_lib.llm.accounting.usage import Usage

if TYPE_CHECKING:
    from mlops_lib.settings import EvaluationSettings

_ledger: ContextVar["Ledger | None"] = ContextVar("ledger", default=None)
#: Open ledgers, the innermost last.
_opened: list["Ledger"] = []
_tally: ContextVar[Usage | None] = ContextVar("tally", default=None)


@dataclass
class Ledger:
    """Limits (0: none), usage `spent` on live calls, usage `reused` from the cassette,
    and calls that were not seen, by the name of their model.

    What the ledger `before` spent counts in the limits too.
    """

    max_calls: int = 0
    max_tokens: int = 0
    max_cost_usd: float = 0.0
    calls_per_minute: float = 0.0
    cassette: Cassette = field(default_factory=Cassette)
    spent: Usage = field(default_factory=Usage)
    reused: Usage = field(default_factory=Usage)
    before: "Ledger | None" = None
    unseen: Counter[str] = field(default_factory=Counter)
    _started: int = 0
    _next_start: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls, settings: "EvaluationSettings", cassette: Cassette, before: "Ledger | None" = None
    ) -> "Ledger":
        """A ledger with the limits of the `evaluation` section."""
        return cls(
            settings.max_calls,
            settings.max_tokens,
            settings.max_cost_usd,
            settings.calls_per_minute,
            cassette,
            before=before,
        )

    @contextmanager
    def open(self) -> Iterator["Ledger"]:
        """Use this ledger for all calls in the block."""
        token = _ledger.set(self)
        _opened.append(self)
        try:
            yield self
        finally:
            _opened.remove(self)
            _ledger.reset(token)

    @property
    def stopped(self) -> str:
        """A sentence about the limit that is reached; "" if none is."""
        both = [ledger for ledger in (self, self.before) if ledger]
        limits = (
            ("max_calls", self.max_calls, sum(ledger._started for ledger in both)),
            ("max_tokens", self.max_tokens, sum(ledger.spent.tokens for ledger in both)),
            ("max_cost_usd", self.max_cost_usd, sum(ledger.spent.cost_usd for ledger in both)),
        )
        for name, limit, spent in limits:
            if limit and spent >= limit:
                return f"evaluation.{name} {limit:g} is spent ({spent:g})."
        return ""

    def start_call(self) -> float:
        """Count a call before it is sent; return the seconds that it must wait for its turn."""
        with self._lock:
            self._started += 1
            if not self.calls_per_minute:
                return 0.0
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 60 / self.calls_per_minute
            return start - now


def current() -> Ledger | None:
    """The ledger in force; None outside an evaluation."""
    return _ledger.get()


@contextmanager
def in_force() -> Iterator[None]:
    """Make the innermost open ledger the one in force, for a thread that a model's
    code began without its context."""
    if _ledger.get() is not None or not _opened:
        yield
        return
    token = _ledger.set(_opened[-1])
    try:
        yield
    finally:
        _ledger.reset(token)


@contextmanager
def tally() -> Iterator[Usage]:
    """Add up the usage of all calls in the block, with those from the cassette.
    A tally around it gets them too."""
    usage, outer = Usage(), _tally.get()
    token = _tally.set(usage)
    try:
        yield usage
    finally:
        _tally.reset(token)
        if outer is not None:
            outer.add(usage)


def count(usage: Usage, ledger: Ledger | None, live: bool) -> None:
    """Count a call in the tally and in the ledger: as spent if it was live, else as reused."""
    usage.reused = 0 if live else usage.calls
    if (row := _tally.get()) is not None:
        row.add(usage)
    if ledger is not None:
        (ledger.spent if live else ledger.reused).add(usage)


def note_call(name: str) -> None:
    """Note a call that the platform's transport did not send, by its address."""
    if (row := _tally.get()) is not None:
        row.unseen += 1
    if (ledger := current()) is not None:
        ledger.unseen[name] += 1


def note_unseen(models: Mapping[str, int], calls: int) -> None:
    """Note calls of LangChain's models that made no request through the platform's transport.

    Args:
        models: The models of the row, of which some made them: name -> calls.
        calls: How many were not seen; 0 or less: none.
    """
    if (ledger := current()) is not None and calls > 0:
        ledger.unseen[", ".join(sorted(models))] += calls
