"""What a challenger is for: a mirror of the traffic off the response path, and a canary on it."""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

from serving.metrics import Metrics
from serving.model import ServedModel

log = logging.getLogger("serving")
#: Mirrored requests under way, at most; beyond, they are dropped and counted.
ROOM = 256


def is_canary(entity: Any, share: float) -> bool:
    """Whether an entity is one of the share that the challenger answers: always the same ones."""
    return zlib.crc32(f"canary:{entity}".encode()) < share * 2**32


class Mirror:
    """Asks the challenger what the champion was asked, after the answer has gone out.

    Args:
        record: Told served, rows, predictions, seconds and request id of each mirrored request.
    """

    def __init__(self, metrics: Metrics, record: Callable[..., None]) -> None:
        self._metrics, self._record = metrics, record
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, challenger: ServedModel, rows: list[dict[str, Any]], request_id: str) -> None:
        """Mirror one request; returns at once."""
        if len(self._under_way) >= ROOM or challenger.full:
            self._metrics.dropped("mirror")
            return
        task = asyncio.create_task(self._ask(challenger, rows, request_id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(self, challenger: ServedModel, rows: list[dict[str, Any]], request_id: str) -> None:
        began = time.perf_counter()
        challenger.in_use += 1
        try:
            fitted = challenger.schema.adopt(rows)
            predictions = await challenger.predict(fitted)
        except Exception as error:  # nobody waits for it, and it must not be lost either
            self._metrics.dropped("mirror_failed")
            log.info("challenger failed", extra={"request_id": request_id, "error": type(error).__name__})
        else:
            self._record(challenger, fitted, predictions, time.perf_counter() - began, request_id)
        finally:
            challenger.in_use -= 1
