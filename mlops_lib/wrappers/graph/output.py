"""The answer in what a graph gives: a part of its state, the last message's text, or its value."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_lib.errors import ModelError, TrainingError
from mlops_lib.llm.values import is_message, plain
from mlops_lib.wrappers.graph.shape import MESSAGES, Shape, is_structured

#: The key of an answer, where ``model.params.output`` names none.
ANSWER = "answer"
#: Types of messages that are no answer.
NO_ANSWERS = ("human", "system")


class GraphOutput:
    """Finds the answer.

    Args:
        shape: What the graph gives.
        output: ``model.params.output``: a state key or a dotted path, or a list of them for an object of
            several; None: ``answer``, else the last message, else the only key.
        contexts: ``model.params.contexts``: the state key of the passages.
    """

    def __init__(self, shape: Shape, output: Any, contexts: str | None) -> None:
        paths = [output] if isinstance(output, str) else output
        if paths is not None and not (
            isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        ):
            raise TrainingError(
                f"model.params.output must be a state key or a list of them; it is {output!r}."
            )
        self._shape, self._output, self._contexts = shape, output, contexts

    def check(self) -> None:
        """Check that the graph has the keys; nothing is called.

        Raises:
            TrainingError: It does not; names the keys there are.
        """
        if self._shape.outputs is None:
            return
        keys = tuple(self._shape.outputs)
        has = f"the answer of the graph has: {', '.join(keys)}."
        output = self._output if self._output is not None else self._default(keys)
        if output is None:
            raise TrainingError(f"Set model.params.output to the key of the answer; {has}")
        for path in [output] if isinstance(output, str) else output:
            if path.partition(".")[0] not in keys:
                raise TrainingError(f"model.params.output names {path!r}; {has}")
        if self._contexts is not None and self._contexts.partition(".")[0] not in keys:
            raise TrainingError(f"model.params.contexts names {self._contexts!r}; {has}")

    @property
    def is_structured(self) -> bool:
        """Whether the answer is no text, so that the text of an LLM is no part of it."""
        kinds = self._shape.outputs or {}
        output = self._default(tuple(kinds)) if self._output is None else self._output
        return isinstance(output, list) or is_structured(kinds.get(output or ""))

    def answer(self, state: Any, question: Any = None) -> Any:
        """The answer in a graph's last state; a message of LangChain where the answer is one.

        Args:
            state: What the graph returned.
            question: The message with the question; the answer comes after it.

        Raises:
            ModelError: The key is not there, or no message answers.
        """
        output = self._output
        if output is None and isinstance(state, Mapping):
            output = self._default(tuple(state))
            if output is None and self._shape.is_state:
                raise ModelError(
                    f"The graph ended without {ANSWER!r} in its state. It has: {', '.join(state)}."
                )
        if isinstance(output, list):
            return {path: self._last(_at(state, path), question) for path in output}
        return self._last(state if output is None else _at(state, output), question)

    def contexts(self, state: Any) -> tuple[str, ...]:
        """The passages that the answer is based on."""
        if self._contexts is not None:
            found = _at(state, self._contexts)
        else:
            found = state.get("contexts") if isinstance(state, Mapping) else None
        if isinstance(found, str) or hasattr(found, "page_content"):  # one passage
            found = [found] if found else []
        return tuple(str(getattr(each, "page_content", each)) for each in found or ())

    def _default(self, keys: Sequence[str]) -> str | None:
        for name in (ANSWER, MESSAGES):
            if name in keys:
                return name
        return keys[0] if len(keys) == 1 and self._shape.is_state else None

    def _last(self, value: Any, question: Any) -> Any:
        """The message that answers, where the value is a list of messages."""
        if not (isinstance(value, list) and value and is_message(value[-1])):
            return value
        value = list(filter(is_message, value))  # LangGraph also takes messages in OpenAI's form
        ids = [message.id for message in value]
        after = value[ids.index(question.id) + 1 :] if question is not None and question.id in ids else value
        answers = [message for message in after if message.type not in NO_ANSWERS]
        if answers:
            spoken = [message for message in answers if message.type == "ai"]
            # A tool that answers itself (return_direct) has the last word.
            return answers[-1] if not spoken or not plain(spoken[-1]) else spoken[-1]
        if len(after) < len(value) and after:  # a worker's report, as a human message
            return after[-1]
        raise ModelError("The graph ended without a message of the model.")


def _at(value: Any, path: str) -> Any:
    """The part of a value at a dotted path of keys, attributes and positions."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            if part not in value:
                raise ModelError(
                    f"The graph ended without {path!r} in its state. It has: {', '.join(map(str, value))}."
                )
            value = value[part]
        elif isinstance(value, list | tuple) and part.lstrip("-").isdigit():
            if not -len(value) <= int(part) < len(value):
                raise ModelError(f"The graph ended with {len(value)} items, so that {path!r} is not there.")
            value = value[int(part)]
        elif hasattr(value, part):
            value = getattr(value, part)
        else:
            raise ModelError(f"The graph ended without {path!r}: a {type(value).__name__} has no {part!r}.")
    return value
