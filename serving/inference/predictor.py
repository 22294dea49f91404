"""One request's way through the models: enrich, choose the version, predict, record."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec

from mlops_lib.columns.encode import BadValue
from mlops_lib.errors import InputError, ModelError
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.settings import ServingSettings
from mlops_lib.wrappers.interface import StreamEvent
from serving.callers.budget import Budget
from serving.features.statuses import Statuses
from serving.inference import upstream
from serving.inference.batching import overloaded
from serving.inference.challenger import Mirror, is_canary
from serving.inference.predictions import as_list, require_finite, require_text
from serving.inference.rows import Context, Rows
from serving.inference.whole_requests import predictions_of
from serving.isolation.failures import ModelCodeError
from serving.models.registry_watcher import RegistryWatcher
from serving.models.served import ServedModel
from serving.operations.metrics import Metrics
from serving.operations.prediction_log import PredictionLog
from serving.operations.records import Record
from serving.operations.telemetry import Tracing
from serving.web.problems import Problem

log = logging.getLogger("serving")


class Answered(msgspec.Struct, frozen=True):
    """Predictions in the order of the rows, and the version that made them.

    Attributes:
        predictions: One a row; any JSON value for rows with `any_count`.
        features: Where looked-up features came from; None where nothing is looked up.
        usage: Tokens that the answer cost; None for a model that does not wait on others.
    """

    served: ServedModel
    predictions: Any
    features: Statuses | None
    usage: Usage | None


class Predictor:
    """Answers rows with the champion or, for its share of entities, with the challenger.

    Args:
        models: The served versions.
        prediction_log: Gets a record of each answer; None: none is kept.
        tracing: Gets version and number of rows; None: no traces.
        budget: Limits and counts the spending of models that wait on others.
        settings: `canary_share` and `request_timeout_s` are read.
    """

    def __init__(
        self,
        models: RegistryWatcher,
        metrics: Metrics,
        prediction_log: PredictionLog | None,
        tracing: Tracing | None,
        budget: Budget,
        settings: ServingSettings,
    ) -> None:
        self.models, self._metrics = models, metrics
        self._log, self._tracing, self._settings = prediction_log, tracing, settings
        self._budget = budget
        self.mirror = Mirror(metrics, budget, self._record)

    def require_room(self) -> None:
        """Raise a Problem when the champion's queue is full. Call it before a request is read."""
        served = self.models.served.get("champion")
        if served and served.full:
            raise overloaded(served.queued_rows)

    async def infer(self, champion: ServedModel, rows: Rows, context: Context) -> Answered:
        """Enrich, choose the version, predict, record. Cancel it, and work that has not begun is dropped.

        Args:
            champion: The version whose schema made the rows; no await may lie between the two. Hold it meanwhile.

        Raises:
            Problem: With the reason, whatever it was.
            InputError: The model refuses the rows.
        """
        if champion.enricher:
            rows = rows.with_features(await champion.enricher.enrich(rows.given()))
        challenger = self.models.challenger
        # A row that changes the model's state is the champion's alone:
        # the challenger would change it again.
        if challenger is None or context.champion_only or await champion.keeps_state(rows):
            return await self._answer(champion, rows, context)
        if is_canary(rows.entity() or context.request_id, self._settings.canary_share):
            try:
                with challenger:
                    return await self._answer(challenger, challenger.schema.adopt(rows), context)
            except Exception:  # whatever the challenger fails at, the champion answers
                self._metrics.dropped("canary_failed")
        answered = await self._answer(champion, rows, context)
        if challenger is self.models.challenger:  # it may have been let go meanwhile
            self.mirror.send(challenger, rows, context)
        return answered

    async def stream(
        self, champion: ServedModel, rows: Rows, context: Context, used: Usage
    ) -> AsyncGenerator[StreamEvent]:
        """The events of one row, answered by a champion that waits on others.
        They are recorded however it ends.

        Args:
            champion: Held by the caller (`ServedModel.hold`) until this is closed.
            used: Gets the tokens of the answer at its end.

        Raises:
            Problem: With the reason, whatever it was; 504 at the context's deadline.
            InputError: The model refuses the row.
        """
        began = time.perf_counter()
        if self._tracing:
            self._tracing.add_model(champion.version, 1)
        tokens, whole = "", None
        try:
            if champion.enricher:
                rows = rows.with_features(await champion.enricher.enrich(rows.given()))
            limit_s = self._settings.request_timeout_s
            async with (
                self._spending(champion, context.caller, 1, used),
                aclosing(_until(context.deadline, limit_s, champion.stream(rows))) as events,
            ):
                async for event in events:
                    if event.kind == "prediction":
                        _, bad = as_list([event.data], 1)
                        require_finite(bad, 0, 1)
                    if event.kind == "token":
                        require_text(event.data)
                        tokens += event.data
                    elif event.kind in ("prediction", "interrupt"):
                        whole = [event.data]
                    yield event
        except Exception as error:
            raise _as_problem(champion, error, context) from None
        finally:
            if whole or tokens:
                self._record(champion, rows, context, whole or [tokens], began, finished=bool(whole))

    async def _answer(self, served: ServedModel, rows: Rows, context: Context) -> Answered:
        """The answer of one version, which is held, to rows of its own schema."""
        began = time.perf_counter()
        if self._tracing:
            self._tracing.add_model(served.version, len(rows))
        usage = None
        try:
            if served.waits:
                usage = Usage()
                async with self._spending(served, context.caller, len(rows), usage):
                    predictions = await predictions_of(served, rows)
            else:
                predictions = await predictions_of(served, rows)
        except Exception as error:
            raise _as_problem(served, error, context) from None
        self._record(served, rows, context, predictions, began)
        return Answered(served, predictions, rows.looked_up.statuses if rows.looked_up else None, usage)

    @asynccontextmanager
    async def _spending(
        self, served: ServedModel, caller: str, rows: int, used: Usage
    ) -> AsyncIterator[None]:
        version = f"{served.version.name} version {served.version.version}"
        async with self._budget.spending(caller, rows, version) as usage:
            yield
        used.add(usage)

    def _record(
        self,
        served: ServedModel,
        rows: Rows,
        context: Context,
        predictions: list[Any],
        began: float,
        role: str = "",
        finished: bool = True,
        error: str = "",
    ) -> None:
        if self._log:
            took = time.perf_counter() - began
            record = Record(
                context, role or served.role, served, rows, predictions, took, time.time(), finished, error
            )
            self._log.add(record)


def _as_problem(served: ServedModel, error: Exception, context: Context) -> Exception:
    """The answer for a model's exception. The log has its text;
    the caller gets the text of a ModelError only."""
    if isinstance(error, Problem | InputError | BadValue):
        return error
    if refused := upstream.refusal(error):
        return refused
    log.error("model failed", exc_info=error, extra={"request_id": context.request_id})
    v, kind = served.version, error.kind if isinstance(error, ModelCodeError) else type(error).__name__
    reason = str(error) if isinstance(error, ModelError) else f"{kind}."
    detail = f"Model {v.name} version {v.version} failed on these rows: {reason}"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model_failed", detail)


async def _until(
    deadline: float, limit_s: float, events: AsyncIterator[StreamEvent]
) -> AsyncGenerator[StreamEvent]:
    """The events of a stream, which holds room in the queue for as long as it lasts.

    Args:
        deadline: Time of `time.monotonic()`.
        limit_s: Seconds between the request and its deadline, for the error.

    Raises:
        Problem: 504 at the deadline.
    """
    ends = asyncio.get_running_loop().time() + deadline - time.monotonic()
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
