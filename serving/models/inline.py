"""A model that is open in the service's process: a graph or numbers without code, or prompts of an LLM."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mlops_lib import wrappers
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent
from serving.inference.example import answer_example
from serving.inference.matrix import MatrixModel
from serving.inference.predictions import as_list, require_finite
from serving.inference.rows import Rows
from serving.inference.schema import RequestSchema
from serving.inference.threads import ThreadExecutor
from serving.web.problems import Problem


class InlineModel:
    """An open wrapper. See `Model`.

    Args:
        inline_rows: Batches up to this size are computed on the event loop.
        example: First row of the example that was logged with the model, as a caller would send it.
    """

    trouble: Problem | None = None

    def __init__(
        self, wrapper: ModelWrapper, schema: RequestSchema, inline_rows: int = 0, example: Any = None
    ) -> None:
        self._wrapper, self.waits, self.example = wrapper, wrapper.waits, example
        self.whole_requests = wrapper.whole_requests
        self._takes_matrix = wrapper.takes_matrix and bool(schema.columns)
        predict = MatrixModel(wrapper, schema.columns) if self._takes_matrix else wrapper.predict
        self.executor = ThreadExecutor(predict, inline_rows)

    @classmethod
    def open(cls, folder: Path, schema: RequestSchema, settings: Settings, name: str) -> Self:
        """Open the model in `folder`, and let it answer its example.

        Args:
            name: Name and version of the model, for errors.

        Raises:
            ModelError: It does not answer.
            Exception: Whatever the model raises.
        """
        wrapper = wrappers.load(str(folder), settings.model.wrapper)
        wrapper.attach(settings)
        first = answer_example(wrapper, wrapper.predict, name)
        return cls(wrapper, schema, _inline_rows(wrapper, schema, first), first)

    @property
    def hung(self) -> int:
        """Calls that took too long and still run, in threads that cannot be stopped."""
        return self.executor.hung

    def rows(self, rows: Rows) -> list[Any]:
        """See `Model`."""
        return rows.tuples() if self._takes_matrix and not rows.as_request else rows.dicts()

    async def ask(self, rows: list[Any]) -> list[Any]:
        """See `Model`."""
        predictions, bad = as_list(await self._wrapper.apredict(rows), len(rows))
        require_finite(bad, 0, len(rows))
        return predictions

    def stream(self, row: Any) -> AsyncIterator[StreamEvent]:
        """See `Model`."""
        return self._wrapper.astream(row)

    async def chat_row(
        self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Model`."""
        return self._wrapper.chat_row(messages, options)

    async def keeps_state(self, rows: list[Any]) -> bool:
        """See `Model`."""
        return any(map(self._wrapper.keeps_state, rows))

    def close(self) -> None:
        """See `Model`."""
        self.executor.close()


def _inline_rows(wrapper: ModelWrapper, schema: RequestSchema, example: Any) -> int:
    if not wrapper.takes_matrix:
        return 0
    try:
        row = schema.convert([example]).tuples()[0]
    except Problem:  # no example, or of a foreign form
        row = None
    return MatrixModel(wrapper, schema.columns).inline_rows(row)
