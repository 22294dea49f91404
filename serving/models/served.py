"""A served version: its model with a queue, and the facts that answers have."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import StreamEvent
from serving.features.enrichment import Enricher
from serving.inference.batching import Batcher, require_room
from serving.inference.json_values import encode_json
from serving.inference.rows import Rows
from serving.inference.schema import RequestSchema
from serving.models.facts import ModelFacts
from serving.models.model import Model
from serving.operations.metrics import Metrics
from serving.web.problems import Problem

#: Seconds that a model may take to make a row of a chat, which is no answer yet.
CHAT_ROW_S = 2.0
#: A chat that every model that takes chats can take, and one with earlier messages.
QUESTION = [{"role": "user", "content": "?"}]
#: Longest image, as base64, of the example that people are shown.
MAX_IMAGE_CHARS = 2**16
CONVERSATION = [*QUESTION, {"role": "assistant", "content": "!"}, *QUESTION]


@dataclass
class Loaded:
    """A version whose model is open and has answered its own example; `folder` has its files,
    if it has files."""

    version: ModelVersion
    facts: ModelFacts
    schema: RequestSchema
    enricher: Enricher | None
    model: Model
    folder: Path | None = None


class ServedModel:
    """A loaded version with its queue. `in_use` counts the requests that use it;
    it is drained when that is 0."""

    def __init__(self, loaded: Loaded, role: str, settings: Settings, metrics: Metrics) -> None:
        limits = settings.serving
        self.facts, self.schema, self.model = loaded.facts, loaded.schema, loaded.model
        self.folder = loaded.folder
        #: Whether the model answers by waiting on others; such a model can stream.
        self.waits = self.model.waits
        #: As of `Model`; the answers may show that it is more than the example showed.
        self.whole_requests = self.model.whole_requests
        self._takes_chats: dict[int, bool] = {}
        self.describe(loaded.version)
        self.enricher, self.example = loaded.enricher, self.model.example
        sent = self.example if isinstance(self.example, dict) else {}
        #: Images of the example that are too long to be shown to people.
        self.long_images = {
            name for name in self.schema.images if len(sent.get(name) or "") > MAX_IMAGE_CHARS
        }
        self.role, self.in_use = role, 0
        #: Rows in flight in an asynchronous model.
        self.waiting_rows = 0
        self._on_batch = metrics.on_batch(self.version.version, role)
        #: Field of an answer -> its value, encoded once: a classifier's ``classes`` in the order of its
        #: probabilities, or several ``labels`` in the order of the columns; empty for other models.
        names = {"classes": loaded.facts.classes, "labels": loaded.facts.labels}
        self.names_json = {field: msgspec.Raw(encode_json(one)) for field, one in names.items() if one}
        self.batcher = Batcher(
            self.model.executor,
            batch_rows=limits.batch_rows,
            queue_rows=limits.queue_rows,
            timeout_s=limits.predict_timeout_s,
            on_batch=self._on_batch,
        )

    def describe(self, version: ModelVersion) -> None:
        """Take over what the registry now has for this version, such as its stage. The files are the same."""
        v = self.version = version
        #: The model's identity in every answer, encoded once.
        self.card = {
            "name": v.name,
            "version": v.version,
            "stage": None if v.stage == "None" else v.stage,
            "run_id": v.run_id,
        }
        self.card_json = msgspec.Raw(msgspec.json.encode(self.card))

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the model, and rows in flight in an asynchronous model."""
        return self.batcher.waiting_rows + self.waiting_rows

    @property
    def full(self) -> bool:
        """Whether no further row may wait."""
        return self.queued_rows >= self.batcher.queue_rows

    def __enter__(self) -> Self:
        """Hold this version while a request uses it."""
        self.in_use += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.in_use -= 1

    @contextmanager
    def hold(self, rows: int) -> Iterator[None]:
        """Hold this version, and room in its queue, while an asynchronous model answers `rows`.

        Raises:
            Problem: 503 when too many rows are in flight already, 413 when these alone are too many.
        """
        require_room(rows, self.waiting_rows, self.batcher.queue_rows)
        self.waiting_rows += rows
        began = time.perf_counter()
        try:
            with self:
                yield
        finally:
            self.waiting_rows -= rows
            self._on_batch(rows, time.perf_counter() - began)

    @property
    def max_rows(self) -> int:
        """Most rows that may wait, and so most of one request."""
        return self.batcher.queue_rows

    async def takes_chat(self, messages: Sequence[dict[str, Any]]) -> bool:
        """Whether a chat alone, such as `QUESTION` or `CONVERSATION`, is enough for an answer.
        The model is asked once."""
        if not self.waits:
            return False
        if (known := self._takes_chats.get(len(messages))) is not None:
            return known
        try:
            async with asyncio.timeout(CHAT_ROW_S):
                row = await self.model.chat_row(messages, {})
        except (Problem, TimeoutError):  # its process fails now, or is being started
            return False
        except Exception:  # a model's code may raise anything
            row = None
        fields = self.schema.model_fields.values()
        takes = row is not None and all(
            field.nullable or field.optional or field.name in row for field in fields
        )
        self._takes_chats[len(messages)] = takes
        return takes

    async def keeps_state(self, rows: Rows) -> bool:
        """Whether answering these rows changes later answers: a turn of a conversation, say."""
        return await self.model.keeps_state(rows.complete())

    def predict(self, rows: Rows) -> Awaitable[list[Any]]:
        """Predictions for rows of `schema`, in order. Raises what `Batcher` and `Model.ask` raise."""
        if self.waits:
            return self._answers(rows)
        return self.batcher(self.model.rows(rows))

    def stream(self, rows: Rows) -> AsyncIterator[StreamEvent]:
        """The events of one row. Closing the iterator stops the work; `hold` the version until then."""
        return self.model.stream(self.model.rows(rows)[0])

    async def drain(self) -> None:
        """Let the last request that holds this version finish, then let the model go."""
        while self.in_use:
            await asyncio.sleep(0.01)
        await self.batcher.drain()
        self.model.close()
        if self.enricher:
            self.enricher.close()

    async def _answers(self, rows: Rows) -> list[Any]:
        # Rows are independent calls of another service: in a batch, each would wait for the slowest.
        with self.hold(len(rows)):
            return await self.model.ask(self.model.rows(rows))
