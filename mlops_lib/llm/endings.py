"""Why the answers of an LLM ended, collected while a graph runs."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from mlops_lib.llm.completion import finish_of


class Endings(BaseCallbackHandler):
    """A callback of LangChain that keeps text and finish reason of each answer."""

    run_inline = True  # in the order of the answers, and in no thread

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Keep the answers of one call."""
        for generation in response.generations[0]:
            if message := getattr(generation, "message", None):
                self._found.append((str(message.text).strip(), finish_of(message)))

    def of(self, answer: str) -> str:
        """The finish reason of the last text that is in a graph's answer; empty: the answer has none of the texts."""
        return next((finish for text, finish in reversed(self._found) if text and text in answer), "")
