"""A vendor's chat model through LangChain: Anthropic's, and OpenAI's newer models
with a protocol of their own."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError
from mlops_lib.llm.options import as_arguments
from mlops_lib.llm.vendors.completion import ToolCallDeltas, finish_of, tool_calls
from mlops_lib.llm.vendors.vendor import Answer, Messages, Part

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SYSTEM = ("system", "developer")


class LangChainClient:
    """See `VendorModel`."""

    def __init__(self, provider: str, model: "BaseChatModel") -> None:
        self._provider, self._model = provider, model

    def check(self, messages: Messages) -> None:
        """See `VendorModel`."""
        from langchain_core.messages import convert_to_messages

        for number, message in enumerate(messages):
            try:
                convert_to_messages([dict(message)])
            except Exception as error:  # of several kinds, by the form that is wrong
                raise InputError(
                    f"Message {number} cannot be read: {type(error).__name__}: {error}"
                ) from None
            before = messages[number - 1].get("role") if number else "system"
            if self._provider == "anthropic" and message.get("role") in SYSTEM and before not in SYSTEM:
                raise InputError(f"Message {number}: this model takes system messages at the start alone.")

    async def answer(self, messages: Messages, options: Mapping[str, Any]) -> Answer:
        """See `VendorModel`."""
        return _answer(await self._model.ainvoke(list(messages), **self._arguments(options)))

    async def stream(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[Part | Answer]:
        """See `VendorModel`."""
        text, finish, deltas = "", "", ToolCallDeltas()
        whole: Any = None
        async for chunk in self._model.astream(list(messages), **self._arguments(options)):
            finish = finish_of(chunk) or finish
            part, calls = str(chunk.text), deltas.of(chunk)
            text += part
            if part or calls:
                yield Part(part, calls)
            if calls or chunk.additional_kwargs or whole is None:
                whole = chunk if whole is None else whole + chunk
        yield Answer("", "") if whole is None else _answer(whole)._replace(text=text, finish=finish)

    def _arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return as_arguments(self._provider, self._model, options) if options else {}


def _answer(message: Any) -> Answer:
    refusal = str(message.additional_kwargs.get("refusal") or "")
    counted = message.usage_metadata or {}
    usage = {name: int(counted[name]) for name in ("input_tokens", "output_tokens") if name in counted}
    return Answer(str(message.text), finish_of(message), tool_calls(message), refusal, usage)
