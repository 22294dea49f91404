"""A vendor's chat model as the `llm` wrapper calls it: its answers, the parts of a stream, and its errors."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from mlops_lib.llm.vendors.completion import completion

Messages = Sequence[Mapping[str, Any]]
NO_USAGE: Mapping[str, int] = MappingProxyType({})


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        finish: Why it ends, in OpenAI's words; empty: it is not known.
        calls: Tool calls in OpenAI's form.
        refusal: The vendor's words for refusing.
        usage: ``input_tokens`` and ``output_tokens``, as far as the vendor gives them.
    """

    text: str
    finish: str = ""
    calls: Sequence[dict[str, Any]] = ()
    refusal: str = ""
    usage: Mapping[str, int] = NO_USAGE

    @property
    def completion(self) -> dict[str, Any]:
        """The prediction for a chat."""
        return completion(self.text, self.finish, self.calls, self.refusal)


class Part(NamedTuple):
    """A part of a stream: some text, or parts of tool calls in OpenAI's form."""

    text: str = ""
    calls: Sequence[dict[str, Any]] = ()


class VendorModel(Protocol):
    """A vendor's chat model. Messages and options are in OpenAI's form; see `mlops_lib.llm.options`."""

    def check(self, messages: Messages) -> None:
        """Raise InputError for a message that the vendor cannot take."""
        ...

    async def answer(self, messages: Messages, options: Mapping[str, Any]) -> Answer:
        """The answer to a chat.

        Raises:
            Exception: There is none, after all retries; with `status_code` where the vendor refused.
        """
        ...

    def stream(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[Part | Answer]:
        """The parts of the answer as they come, and the whole answer at the end. Raises as `answer`."""
        ...


class VendorError(Exception):
    """A vendor could not be reached, or its answer could not be read."""


class VendorRefusedError(VendorError):
    """A vendor answered with an error.

    Attributes:
        response: The answer, with the headers that say when to try again.
        body: The object ``error`` of the answer, or its text.
    """

    def __init__(self, message: str, status_code: int, response: Any, body: Any) -> None:
        super().__init__(message)
        self.status_code, self.response, self.body = status_code, response, body
        self.code = body.get("code") if isinstance(body, Mapping) else None
