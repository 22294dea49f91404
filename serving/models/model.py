"""A version's model as the service calls it, open in the service's process or in one of its own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from mlops_lib.wrappers.interface import StreamEvent
from serving.inference.batching import Executor
from serving.inference.rows import Rows
from serving.web.problems import Problem


class Model(Protocol):
    """An open model. All methods belong to the event loop's thread.

    Attributes:
        waits: Whether it answers by waiting on others: it is asked with `ask` and `stream`,
            many requests at once. Otherwise `executor` calls it with one batch at a time.
        whole_requests: As of `ModelWrapper`.
        example: First row of the example that was logged with it, as a caller would send it;
            None without one.
    """

    waits: bool
    whole_requests: Literal["never", "on demand", "always"]
    example: Any

    @property
    def executor(self) -> Executor:
        """Calls it with batches."""
        ...

    @property
    def trouble(self) -> Problem | None:
        """Why it does not answer; None while it does."""
        ...

    @property
    def hung(self) -> int:
        """Threads or processes with a call that took too long and still runs."""
        ...

    def rows(self, rows: Rows) -> list[Any]:
        """The rows in the form that `executor`, `ask` and `stream` take."""
        ...

    async def ask(self, rows: list[Any]) -> list[Any]:
        """Predictions in the order of the rows.

        Raises:
            Problem: The model's process failed, or the predictions have the wrong form.
            Exception: Whatever the model raises.
        """
        ...

    def stream(self, row: Any) -> AsyncIterator[StreamEvent]:
        """The events of one row. Closing the iterator stops the work."""
        ...

    async def chat_row(
        self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The row for a chat, as of `ModelWrapper.chat_row`;
        raises InputError where the model cannot use it."""
        ...

    async def keeps_state(self, rows: list[Any]) -> bool:
        """Whether answering these rows changes later answers: a turn of a conversation, say."""
        ...

    def close(self) -> None:
        """Let the model go: no request uses it any longer."""
        ...
