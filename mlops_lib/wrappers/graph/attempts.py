"""Nodes that LangGraph tries again, by their retry policy: text that was sent before the failure is not sent twice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from mlops_lib.llm.traces.recorder import is_node

#: In the metadata of a message: node task -> number of its attempt, from the second on.
ATTEMPTS = "mlops_attempts"
TASK = "langgraph_checkpoint_ns"


class Attempts(BaseCallbackHandler):
    """A callback of LangChain that counts the attempts of each node, and notes them in the metadata of its runs.

    LangGraph gives the same metadata with each token. The tokens come later than the callbacks, so that their order
    alone does not tell the attempt of a token.
    """

    run_inline = True

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def on_chain_start(self, serialized: Any, inputs: Any, **about: Any) -> None:
        """Count an attempt of a node."""
        if is_node(about):
            self._begun[about["metadata"].get(TASK, "")] += 1
            self._note(about["metadata"])

    def on_chat_model_start(self, serialized: Any, messages: Any, **about: Any) -> None:
        """Note the attempts in the metadata of a model's messages."""
        self._note(about.get("metadata") or {})

    def _note(self, metadata: dict[str, Any]) -> None:
        if found := {task: n for task in _and_outer(metadata.get(TASK, "")) if (n := self._begun[task]) > 1}:
            metadata[ATTEMPTS] = found


class Unrepeated:
    """Passes on text, without the part that the new attempt of a node repeats."""

    def __init__(self) -> None:
        self._sent: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        #: Task of a node -> the rest of the text of its earlier attempt, as far as the new one has repeated it.
        self._before: dict[str, str] = {}

    def begin(self, about: Mapping[str, Any]) -> None:
        """Note the attempts in a message's metadata: the text of a failed one is no longer the node's."""
        for node, number in (about.get(ATTEMPTS) or {}).items():
            if number > self._attempts.get(node, 1):
                self._attempts[node] = number
                self._before[node] = "".join(map(self._sent.pop, self._inside(node)))

    def has_text(self, task: str) -> bool:
        """Whether the attempt of a node, or a graph in it, has given text."""
        return bool(self._inside(task))

    def text(self, text: str, about: Mapping[str, Any]) -> str:
        """The text to send for a message's text; where a new attempt differs from what was sent, a new paragraph with all of it.

        Args:
            text: Not empty.
            about: The message's metadata.
        """
        task = about.get(TASK, "")
        self._sent[task] = self._sent.get(task, "") + text
        for node in about.get(ATTEMPTS) or ():
            if not (before := self._before.get(node)):
                continue
            if before.startswith(text):
                self._before[node] = before[len(text) :]
                return ""
            self._before[node] = ""
            if text.startswith(before):
                return text[len(before) :]
            return "\n\n" + "".join(map(self._sent.__getitem__, self._inside(node)))
        return text

    def _inside(self, node: str) -> list[str]:
        return [task for task in self._sent if f"{task}|".startswith(f"{node}|")]


def _and_outer(task: str) -> Iterator[str]:
    """The task, and those around it: ``a:1|b:2`` is in ``a:1``."""
    while task:
        yield task
        task = task.rpartition("|")[0]
