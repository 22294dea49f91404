"""The budget of LLM calls, tokens and money: for each API key and for the whole service, in a period of time.

Rows are counted as calls before they are sent. Tokens and money are known after an answer;
a limit that is reached refuses the next request. Requests in flight at that moment may exceed it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from mlops_lib.llm.accounting.ledger import tally
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.settings.serving import BudgetSettings
from serving.callers.store import Store
from serving.web.problems import Problem

log = logging.getLogger("serving")
TABLES = """
CREATE TABLE IF NOT EXISTS spent (
  period TEXT, caller TEXT, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_usd REAL NOT NULL,
  PRIMARY KEY (period, caller)
) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  calls = calls + excluded.calls, tokens = tokens + excluded.tokens, cost_usd = cost_usd + excluded.cost_usd
"""
_SUM = "SELECT COALESCE(SUM(calls), 0), COALESCE(SUM(tokens), 0), COALESCE(SUM(cost_usd), 0.0) FROM spent"


class Spent(NamedTuple):
    """Spending in a period."""

    calls: int
    tokens: int
    cost_usd: float


class Budget:
    """Counts the spending of all workers in a file.

    Args:
        file: Made at the first request that spends. Without a limit nothing is counted.
        clock: Gives the Unix time.
    """

    def __init__(self, file: Path, settings: BudgetSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings, self._clock = settings, clock
        #: Versions that called a model without a price: their money cannot be limited.
        self._unpriced: set[str] = set()
        self._store = Store(file, TABLES)
        limits = settings.model_dump(exclude={"period"})
        self.limited = any(limits.values())

    @asynccontextmanager
    async def spending(self, caller: str, rows: int, version: str) -> AsyncIterator[Usage]:
        """The usage of the calls in the block, which is counted at its end, also when it raises.

        Args:
            caller: Name of the API key.
            rows: Rows that the block answers.
            version: Name and number of the version that answers.

        Raises:
            Problem: 429 when a limit is reached, or the rows would exceed one;
                503 for calls whose price is unknown.
        """
        if not self.limited:
            with tally() as usage:
                yield usage
            return
        now = datetime.fromtimestamp(self._clock(), UTC)
        period = _name(now, self.settings.period)
        if version in self._unpriced:
            detail = (
                f"{version} calls an LLM without a price in llm.prices, so serving.budget cannot limit the money. Add "
                "the price to config.yaml and log the model again."
            )
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "llm_price_unknown", detail)
        await self._store.apply(partial(self._reserve, caller, rows, now))
        failed = True
        try:
            with tally() as usage:
                yield usage
            failed = False
        finally:
            if usage.unpriced and (self.settings.cost_usd or self.settings.key_cost_usd):
                self._unpriced.add(version)
            # A row that failed may have made a call that no answer counts.
            calls = max(usage.calls, rows) if failed else usage.calls
            spent = (period, caller, calls - rows, usage.tokens, usage.cost_usd)
            try:
                # Also where the caller has left: the money is spent.
                await asyncio.shield(self._store.apply(partial(_add, spent)))
            except Exception:
                log.exception("the spending of a request was not counted: %s", usage)

    def spent(self, caller: str | None = None) -> Spent:
        """Spending of a caller in the present period; None: of all."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        with self._store.transaction() as tables:
            return _spent(tables, _name(now, self.settings.period), caller)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _reserve(self, caller: str, rows: int, now: datetime, tables: sqlite3.Connection) -> None:
        period = _name(now, self.settings.period)
        total, own = _spent(tables, period, None), _spent(tables, period, caller)
        self._require(own, rows, "key_", now)
        self._require(total, rows, "", now)
        tables.execute(_ADD, (period, caller, rows, 0, 0.0))

    def _require(self, spent: Spent, rows: int, prefix: str, now: datetime) -> None:
        for name, used, wanted in (
            ("calls", spent.calls, rows), ("tokens", spent.tokens, 0), ("cost_usd", spent.cost_usd, 0),
        ):  # fmt: skip
            limit = getattr(self.settings, prefix + name)
            if limit and (used >= limit or used + wanted > limit):
                whose = "of this API key" if prefix else "of the service"
                asked = f", and the request needs {wanted}" if used < limit else ""
                detail = (
                    f"The LLM budget {whose} is {limit:g} {name} a {self.settings.period} "
                    f"(serving.budget.{prefix}{name}); {used:g} are spent{asked}."
                )
                after_s = _left_s(now, self.settings.period)
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "budget_exceeded", detail, after_s)


def _add(spent: tuple[str, str, int, int, float], tables: sqlite3.Connection) -> None:
    tables.execute(_ADD, spent)


def _spent(tables: sqlite3.Connection, period: str, caller: str | None) -> Spent:
    if caller is None:
        found = tables.execute(f"{_SUM} WHERE period = ?", (period,))
    else:
        found = tables.execute(f"{_SUM} WHERE period = ? AND caller = ?", (period, caller))
    return Spent(*found.fetchone())


def _name(now: datetime, period: str) -> str:
    """The period of a time, such as 2026-11-26 for a day."""
    return now.strftime({"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[period])


def _left_s(now: datetime, period: str) -> int:
    """Seconds until the next period."""
    if period == "month":
        following = (
            now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)
        ).replace(day=1)
    elif period == "day":
        following = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    else:
        following = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return int((following - now).total_seconds()) + 1
