"""The LLM calls of a graph, collected while it runs: their models, and why their answers ended."""

from collections import Counter
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from mlops_lib.llm.vendors.completion import finish_of


class Endings(BaseCallbackHandler):
    """A callback of LangChain that keeps text and finish reason of each answer."""

    run_inline = True  # in the order of the answers, and in no thread

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []
        #: Name of a model's class -> its calls.
        self.models: Counter[str] = Counter()

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        """Count a call by its model."""
        self.models[(serialized or {}).get("id", ["a model of LangChain"])[-1]] += 1

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Keep the answers of one call."""
        for generation in response.generations[0]:
            if message := getattr(generation, "message", None):
                self._found.append((str(message.text).strip(), finish_of(message)))

    @property
    def answers(self) -> int:
        """How many answers came."""
        return len(self._found)

    def of(self, answer: str) -> str:
        """The finish reason of the last text that is in a graph's answer; empty:
        the answer has none of the texts."""
        return next((finish for text, finish in reversed(self._found) if text and text in answer), "")
