"""What a challenger is for: a mirror of the traffic off the response path, and a canary on it."""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

from serving.features.enrichment import EnrichedRows
from serving.models.served import ServedModel
from serving.operations.metrics import Metrics

log = logging.getLogger("serving")
#: Mirrored requests under way, at most; beyond, they are dropped and counted.
ROOM = 256


def is_canary(entity: Any, share: float) -> bool:
    """Whether an entity is one of the share that the challenger answers: always the same ones."""
    return zlib.crc32(f"canary:{entity}".encode()) < share * 2**32


class Mirror:
    """Asks the challenger what the champion was asked, after the answer has gone out.

    Args:
        record: Told served, rows, where looked-up ones came from, predictions, seconds, request id and length of the
            body of each mirrored request.
    """

    def __init__(self, metrics: Metrics, record: Callable[..., None]) -> None:
        self._metrics, self._record = metrics, record
        self._under_way: set[asyncio.Task[None]] = set()

    def send(
        self,
        challenger: ServedModel,
        rows: list[dict[str, Any]],
        enriched: EnrichedRows | None,
        request_id: str,
        body_bytes: int,
    ) -> None:
        """Mirror one request; returns at once."""
        if len(self._under_way) >= ROOM or challenger.full:
            self._metrics.dropped("mirror")
            return
        task = asyncio.create_task(self._ask(challenger, rows, enriched, request_id, body_bytes))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(
        self,
        challenger: ServedModel,
        rows: list[dict[str, Any]],
        enriched: EnrichedRows | None,
        request_id: str,
        body_bytes: int,
    ) -> None:
        began = time.perf_counter()
        challenger.in_use += 1
        try:
            fitted = challenger.schema.adopt(rows)
            predictions = await challenger.predict(fitted)
        except Exception as error:  # nobody waits for it, and it must not be lost either
            self._metrics.dropped("mirror_failed")
            log.info("challenger failed", extra={"request_id": request_id, "error": type(error).__name__})
        else:
            seconds = time.perf_counter() - began
            self._record(challenger, fitted, enriched, predictions, seconds, request_id, body_bytes)
        finally:
            challenger.in_use -= 1
