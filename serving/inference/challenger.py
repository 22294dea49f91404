"""Traffic for a challenger: a mirror of the champion's requests, and a canary's share of them."""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

from serving.callers.budget import Budget
from serving.inference.rows import Context, Rows
from serving.inference.whole_requests import predictions_of
from serving.isolation.failures import ModelCodeError
from serving.models.served import ServedModel
from serving.operations.metrics import Metrics
from serving.web.problems import Problem

log = logging.getLogger("serving")
#: Mirrored requests in flight, at most; further ones are dropped and counted.
MAX_MIRRORED = 256
#: Problems that say nothing about the challenger's answers: it was not asked.
NOT_ASKED = ("overloaded", "budget_exceeded", "llm_price_unknown")
#: Name under which mirrored requests spend: no key has a line end in its name.
CALLER = "mirror\n"


def is_canary(entity: Any, share: float) -> bool:
    """Whether an entity is one of the share that the challenger answers: always the same ones."""
    return share > 0 and zlib.crc32(f"canary:{entity}".encode()) < share * 2**32


class Mirror:
    """Sends the champion's requests to the challenger, after the answer has gone out.

    Args:
        record: Called with served version, rows, context, predictions, the time of `time.perf_counter()` at
            which the work began, the role "mirror", and for a request that the challenger failed on
            ``finished=False`` and the error.
    """

    def __init__(self, metrics: Metrics, budget: Budget, record: Callable[..., None]) -> None:
        self._metrics, self._budget, self._record = metrics, budget, record
        self._in_flight: set[asyncio.Task[None]] = set()

    def send(self, challenger: ServedModel, rows: Rows, context: Context) -> None:
        """Mirror one request; returns at once."""
        if len(self._in_flight) >= MAX_MIRRORED or challenger.full:
            self._metrics.dropped("mirror")
            return
        task = asyncio.create_task(self._ask(challenger, rows, context))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _ask(self, challenger: ServedModel, rows: Rows, context: Context) -> None:
        began, adopted = time.perf_counter(), rows
        try:
            # As of a request: a version that is let go waits for those who use it.
            async with asyncio.timeout(context.deadline - time.monotonic()):
                with challenger:
                    adopted = challenger.schema.adopt(rows)
                    predictions = await self._predictions(challenger, adopted)
        except Exception as error:  # no caller waits for it, so it is counted and logged here
            self._metrics.dropped("mirror_failed")
            name = _name_of(error)
            log.info("challenger failed", extra={"request_id": context.request_id, "error": name})
            if (
                name not in NOT_ASKED
            ):  # else a challenger that fails on difficult rows would look better for it
                self._record(
                    challenger, adopted, context, [], began, role="mirror", finished=False, error=name
                )
        else:
            self._record(challenger, adopted, context, predictions, began, role="mirror")

    async def _predictions(self, challenger: ServedModel, rows: Rows) -> Any:
        if not challenger.waits:
            return await predictions_of(challenger, rows)
        version = f"{challenger.version.name} version {challenger.version.version}"
        async with self._budget.spending(CALLER, len(rows), version):
            return await predictions_of(challenger, rows)


def _name_of(error: Exception) -> str:
    if isinstance(error, Problem):
        return error.code
    return error.kind if isinstance(error, ModelCodeError) else type(error).__name__
