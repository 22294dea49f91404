"""What every inference route calls: rows of the champion's schema in, checked predictions out."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, NamedTuple

from mlops_lib.errors import InputError, ModelError
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import StreamEvent
from serving.features.enrichment import EnrichedRows, Statuses
from serving.inference.batching import MOST_HUNG, overloaded
from serving.inference.challenger import Mirror, is_canary
from serving.inference.predictions import as_list, require_finite
from serving.models.registry_watcher import ModelHolder
from serving.models.served import ServedModel
from serving.operations import telemetry
from serving.operations.logs import shown
from serving.operations.metrics import Metrics
from serving.operations.prediction_log import PredictionLog, Record
from serving.operations.workers import Workers
from serving.web.api_keys import Keys
from serving.web.problems import Problem

log = logging.getLogger("serving")


class Answered(NamedTuple):
    """Predictions in the order of the rows, the version that made them, and where their features came from."""

    served: ServedModel
    predictions: list[Any]
    #: Where looked-up features came from; None where nothing is looked up.
    features: Statuses | None


class Engine:
    """Holds the models and everything that is kept about requests."""

    def __init__(self, settings: Settings, workers: Workers | None = None) -> None:
        self.settings, self.workers = settings, workers
        wanted = settings.serving
        self.metrics = Metrics(workers)
        self.holder = ModelHolder(settings, self.metrics, workers.ready if workers else lambda: None)
        self.keys = Keys(settings.path(wanted.api_keys) if wanted.api_keys else None)
        self.log = (
            PredictionLog(settings.path(wanted.prediction_log), self.metrics)
            if wanted.prediction_log
            else None
        )
        self.tracing = telemetry.configured()
        self._mirror = Mirror(self.metrics, self._record_mirrored)
        #: After SIGTERM: first unready, then refusing.
        self.draining = self.refusing = False

    def start(self) -> None:
        """Begin to follow the registry and to write the log."""
        if self.log:
            self.log.start()
        self.holder.start()

    async def stop(self) -> None:
        """Answer what is left, write what is left."""
        await self.holder.stop()
        if self.log:
            await asyncio.to_thread(self.log.stop)
        if self.tracing:
            await asyncio.to_thread(self.tracing.stop)
        self.metrics.stop()

    def exposition(self) -> bytes:
        """All figures, with those that are looked up when somebody asks."""
        metrics, holder = self.metrics, self.holder
        waiting = hung = 0
        cards = []
        for role, served in holder.served.items():
            v = served.version
            cards.append((v.name, str(v.version), v.stage, role))
            waiting += served.queued_rows
            hung += served.batcher.hung
        metrics.show_served(cards)
        metrics.queue.set(waiting)
        metrics.hung.set(hung)
        for what, holds in (
            ("ready", "champion" in holder.served and not self.draining),
            ("stale", holder.stale),
            ("draining", self.draining),
        ):
            metrics.state.labels(what).set(holds)
        return metrics.exposition()

    def require_room(self) -> None:
        """Raise a Problem when the queue is full: known before a request is read, parsed or looked up."""
        served = self.holder.served.get("champion")
        if served and served.full:
            raise overloaded(served.queued_rows)

    def require_alive(self) -> None:
        """Raise a Problem when so many calls hang that only a restart helps."""
        hung = sum(served.batcher.hung for served in self.holder.served.values())
        if hung > MOST_HUNG:
            detail = f"{hung} calls of the model hang and cannot be stopped: restart this process."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_hangs", detail)

    async def infer(
        self,
        champion: ServedModel,
        rows: list[Any],
        request_id: str,
        body_bytes: int,
        champion_only: bool = False,
    ) -> Answered:
        """Enrich, choose the version, predict, record.

        Args:
            champion: The version whose schema made the rows; call this in the same step.
            rows: As its `RequestSchema.parse` or `convert` gave them.
            request_id: For the record, and for the canary where rows carry no entity key.
            body_bytes: Length of the body that the rows came in, for the record.
            champion_only: No challenger is asked, whatever its share.

        Raises:
            Problem: With the reason, whatever it was.
            InputError: The model refuses the rows.
        """
        champion.in_use += 1
        try:
            schema, enriched = champion.schema, None
            if champion.enricher:
                enriched = await champion.enricher.enrich(schema.given(rows))
            challenger = self.holder.challenger
            if challenger is None or champion_only:
                return await self._answer(champion, rows, enriched, request_id, body_bytes)
            whole = enriched.rows if enriched else schema.given(rows)
            if any(map(champion.wrapper.keeps_state, whole)):  # it would be changed twice
                return await self._answer(champion, rows, enriched, request_id, body_bytes)
            if self._is_canary(champion, rows[0], request_id):
                try:
                    adopted = challenger.schema.adopt(whole)
                    return await self._answer(challenger, adopted, enriched, request_id, body_bytes)
                except Exception:  # whatever the challenger fails at, the champion answers
                    self.metrics.dropped("canary_failed")
            answered = await self._answer(champion, rows, enriched, request_id, body_bytes)
            if challenger is self.holder.challenger:  # it may have been let go meanwhile
                self._mirror.send(challenger, whole, enriched, request_id, body_bytes)
            return answered
        finally:
            champion.in_use -= 1

    async def stream(
        self, champion: ServedModel, rows: list[Any], request_id: str, body_bytes: int
    ) -> AsyncGenerator[StreamEvent]:
        """What a champion that waits says about one row while it works; what was said is recorded, however it ends.

        Args:
            champion: Held by the caller (`ServedModel.asked`) until this is closed.
            rows: One, as its `RequestSchema` gave it, or a chat's.
            request_id: For the record.
            body_bytes: For the record.

        Raises:
            Problem: With the reason, whatever it was.
            InputError: The model refuses the row.
        """
        began = time.perf_counter()
        if self.tracing:
            self.tracing.asked(champion.version, 1)
        enriched, said, whole = None, "", None
        try:
            if champion.enricher:
                enriched = await champion.enricher.enrich(champion.schema.given(rows))
            row = enriched.rows[0] if enriched else champion.schema.as_dicts(rows)[0]
            events = _in_time(champion.wrapper.astream(row), self.settings.serving.request_timeout_s)
            async with aclosing(events):
                async for event in events:
                    if event.kind == "prediction":
                        _, bad = as_list([event.data], 1)
                        require_finite(bad, 0, 1)
                    if event.kind == "token":
                        said += event.data
                    elif event.kind != "update":
                        whole = [event.data]
                    yield event
        except Exception as error:
            raise self._told(champion, error, request_id) from None
        finally:
            if self.log and (whole or said):
                took, answer = time.perf_counter() - began, whole or [said]
                self.log.add(
                    Record(
                        request_id,
                        champion.role,
                        champion,
                        rows,
                        enriched,
                        answer,
                        took,
                        time.time(),
                        body_bytes,
                        bool(whole),
                    )
                )

    async def _answer(
        self,
        served: ServedModel,
        rows: list[Any],
        enriched: EnrichedRows | None,
        request_id: str,
        body_bytes: int,
    ) -> Answered:
        """Ask the champion about its rows, enriched where they are, or the challenger about rows that it adopted."""
        began = time.perf_counter()
        if self.tracing:
            self.tracing.asked(served.version, len(rows))
        served.in_use += 1
        try:
            if enriched and served.role == "champion":
                predictions = await served.predict_enriched(enriched.rows)
            else:
                predictions = await served.predict(rows)
        except Exception as error:
            raise self._told(served, error, request_id) from None
        finally:
            served.in_use -= 1
        if self.log:
            seconds = time.perf_counter() - began
            self.log.add(
                Record(
                    request_id,
                    served.role,
                    served,
                    rows,
                    enriched,
                    predictions,
                    seconds,
                    time.time(),
                    body_bytes,
                )
            )
        return Answered(served, predictions, enriched.statuses if enriched else None)

    def _told(self, served: ServedModel, error: Exception, request_id: str) -> Exception:
        """What a caller is told of what the model raised."""
        if isinstance(error, Problem | InputError):
            return error
        log.error("model failed", exc_info=error, extra={"request_id": request_id})
        v, kind = served.version, type(error).__name__
        said = shown(str(error)) if isinstance(error, ModelError) else f"{kind}."
        detail = f"Model {v.name} version {v.version} failed on these rows: {said}"
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model_failed", detail)

    def _is_canary(self, champion: ServedModel, row: Any, request_id: str) -> bool:
        share = self.settings.serving.canary_share
        return share > 0 and is_canary(champion.schema.entity(row) or request_id, share)

    def _record_mirrored(
        self,
        served: ServedModel,
        rows: list[Any],
        enriched: EnrichedRows | None,
        predictions: list[Any],
        seconds: float,
        request_id: str,
        body_bytes: int,
    ) -> None:
        if self.log:
            self.log.add(
                Record(
                    request_id,
                    "mirror",
                    served,
                    rows,
                    enriched,
                    predictions,
                    seconds,
                    time.time(),
                    body_bytes,
                )
            )

    def log_failure(self, request_id: str, method: str, route: str, status: int, seconds: float) -> None:
        """One line for a request that was not answered as asked. Bodies and headers are never logged."""
        level = logging.WARNING if status >= 500 else logging.INFO
        about = {"request_id": request_id, "method": method, "route": route, "status": status}
        log.log(level, "request failed", extra={**about, "ms": round(seconds * 1e3, 1)})


async def _in_time(events: AsyncIterator[StreamEvent], limit_s: float) -> AsyncGenerator[StreamEvent]:
    """The events of a stream, which holds room in the queue for as long as it lasts.

    Raises:
        Problem: 504 when it takes longer than `limit_s`.
    """
    ends = asyncio.get_running_loop().time() + limit_s
    async with aclosing(events):  # type: ignore[type-var]
        while True:
            try:
                async with asyncio.timeout_at(ends) as clock:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not clock.expired():
                    raise
                detail = f"The answer took longer than {limit_s:g} s (serving.request_timeout_s)."
                raise Problem(HTTPStatus.GATEWAY_TIMEOUT, "timed_out", detail) from None
            yield event
