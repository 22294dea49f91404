"""A served version: loaded, checked with its example, and called in batches."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from mlops_lib.errors import MlopsError, ModelError
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent
from serving.features.enrichment import Enricher
from serving.inference.batching import Batcher, require_room
from serving.inference.example import answer_example
from serving.inference.fields import named_columns
from serving.inference.json_values import encode_json
from serving.inference.matrix import MatrixModel
from serving.inference.predictions import as_list, require_finite
from serving.inference.rows import Rows
from serving.inference.schema import RequestSchema
from serving.operations.metrics import Metrics
from serving.web.problems import Problem

log = logging.getLogger("serving")


@dataclass
class Loaded:
    """A version in memory that has answered its own example."""

    version: ModelVersion
    wrapper: ModelWrapper
    schema: RequestSchema
    enricher: Enricher | None
    #: Batches up to this size are computed faster than they can be handed to a thread; 0: not known.
    inline_rows: int
    #: The first row of the example that was logged with the model; None: there is no example.
    example: Any


class ServedModel:
    """A loaded version with its queue. `in_use` counts the requests that use it; it is drained when that is 0."""

    def __init__(self, loaded: Loaded, role: str, settings: Settings, metrics: Metrics) -> None:
        limits = settings.serving
        self.wrapper, self.schema = loaded.wrapper, loaded.schema
        #: Whether the model answers by waiting on others; such a model can stream.
        self.waits = self.wrapper.waits
        #: As of `ModelWrapper`; the answers may show that it is more than the example showed.
        self.whole_requests = self.wrapper.whole_requests
        self.describe(loaded.version)
        self.enricher, self.example = loaded.enricher, loaded.example
        self.role, self.in_use = role, 0
        #: Rows in flight in an asynchronous model.
        self.waiting_rows = 0
        self._on_batch = metrics.on_batch(self.version.version, role)
        self._matrix = self.wrapper.takes_matrix and bool(self.schema.columns)
        self.batcher = Batcher(
            MatrixModel(self.wrapper, self.schema.columns) if self._matrix else self.wrapper.predict,
            batch_rows=limits.batch_rows,
            queue_rows=limits.queue_rows,
            timeout_s=limits.predict_timeout_s,
            inline_rows=loaded.inline_rows,
            on_batch=self._on_batch,
        )

    def describe(self, version: ModelVersion) -> None:
        """Take over what the registry now has for this version, such as its stage. The files are the same."""
        v = self.version = version
        #: The model's identity in every answer, encoded once.
        self.card = {"name": v.name, "version": v.version, "stage": v.stage, "run_id": v.run_id}
        self.card_json = msgspec.Raw(msgspec.json.encode(self.card))

    @cached_property
    def classes_json(self) -> msgspec.Raw | None:
        """A classifier's classes in the order of its probabilities, encoded once; None for other models."""
        classes = self.wrapper.classes
        return msgspec.Raw(encode_json(classes)) if classes else None

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the model, and rows in flight in an asynchronous model."""
        return self.batcher.waiting_rows + self.waiting_rows

    @property
    def full(self) -> bool:
        """Whether no further row may wait."""
        return self.queued_rows >= self.batcher.queue_rows

    @contextmanager
    def hold(self, rows: int) -> Iterator[None]:
        """Hold this version, and room in its queue, while an asynchronous model answers `rows`.

        Raises:
            Problem: 503 when too many rows are in flight already, 413 when these alone are too many.
        """
        require_room(rows, self.waiting_rows, self.batcher.queue_rows)
        self.waiting_rows += rows
        self.in_use += 1
        began = time.perf_counter()
        try:
            yield
        finally:
            self.waiting_rows -= rows
            self.in_use -= 1
            self._on_batch(rows, time.perf_counter() - began)

    @property
    def max_rows(self) -> int:
        """Most rows that may wait, and so most of one request."""
        return self.batcher.queue_rows

    def keeps_state(self, rows: Rows) -> bool:
        """Whether answering these rows changes later answers: a turn of a conversation, say."""
        return any(map(self.wrapper.keeps_state, rows.complete()))

    def predict(self, rows: Rows) -> Awaitable[list[Any]]:
        """Predictions for rows of `schema`, in order. Raises what `Batcher` raises."""
        if self._matrix and not rows.as_request:
            return self.batcher(rows.tuples())
        return self._answers(rows.dicts())

    def stream(self, rows: Rows) -> AsyncIterator[StreamEvent]:
        """The events of one row. Closing the iterator stops the work; hold the version (`asked`) until then."""
        return self.wrapper.astream(rows.dicts()[0])

    async def drain(self) -> None:
        """Let the last request that holds this version finish, then stop its threads."""
        while self.in_use:
            await asyncio.sleep(0.01)
        await self.batcher.drain()
        if self.enricher:
            self.enricher.close()

    async def _answers(self, rows: list[Any]) -> list[Any]:
        if not self.wrapper.waits:
            return await self.batcher(rows)
        # Rows are independent calls of another service: in a batch, each would wait for the slowest.
        with self.hold(len(rows)):
            predictions, bad = as_list(await self.wrapper.apredict(rows), len(rows))
        require_finite(bad, 0, len(rows))
        return predictions


def load(version: ModelVersion, folder: Path, settings: Settings) -> Loaded:
    """Load a version from its files, and check that it answers its example.

    Raises:
        ModelError: It cannot be loaded, or does not answer the example that was logged with it.
    """
    from mlops_lib import wrappers

    wrapper = wrappers.load(str(folder), settings.model.wrapper)
    name = f"{version.name} version {version.version}"
    try:
        wrapper.attach(settings)
        enricher = Enricher.for_version(version, tuple(named_columns(wrapper.signature)), settings)
        schema = request_schema(wrapper, enricher, settings)
    except MlopsError:
        raise
    except Exception as error:
        raise ModelError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    first = answer_example(wrapper, wrapper.predict, name)
    return Loaded(version, wrapper, schema, enricher, _inline_rows(wrapper, schema, first), first)


def request_schema(wrapper: ModelWrapper, enricher: Enricher | None, settings: Settings) -> RequestSchema:
    """The schema of a model's requests: rows of the source, or rows with an entity key alone."""
    source = wrapper.columns
    strict = settings.serving.extra_columns == "refuse"
    if enricher:
        service = enricher.service
        return RequestSchema(
            wrapper.signature, enricher.features, service.key_dtypes, source, strict, service.request_dtypes
        )
    # Without a feature store the key still decides which requests are the canary's.
    key = settings.data.key or (source.key if source else "")
    return RequestSchema(wrapper.signature, (), {key: ""} if key else {}, source, strict)


def _inline_rows(wrapper: ModelWrapper, schema: RequestSchema, example: Any) -> int:
    if not wrapper.takes_matrix:
        return 0
    try:
        row = schema.convert([example]).tuples()[0]
    except Problem:  # no example, or of a foreign form
        row = None
    return MatrixModel(wrapper, schema.columns).inline_rows(row)
