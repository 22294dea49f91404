"""A vendor's LLM with prompts and no code: ``model.implementation: openai:gpt-4o-mini``."""

import json
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError, TrainingError
from mlops_lib.llm import chat
from mlops_lib.llm.conversation import Message, Said
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.options import LIMITS, for_provider
from mlops_lib.llm.prompt_fields import fields, filled, unclear_path
from mlops_lib.llm.traces.answers import Traces
from mlops_lib.llm.traces.trajectory import Trajectory, of_output
from mlops_lib.llm.vendors.vendor import NO_USAGE, Answer
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import chats, prompts
from mlops_lib.wrappers.text.chats import CHAT, chat_of
from mlops_lib.wrappers.text.package import copy_into, read_json
from mlops_lib.wrappers.text.wrapper import TextModelWrapper

if TYPE_CHECKING:
    from mlflow.models import Model

PROMPTS = ("system", "user")
#: A vendor's statuses for a request that it does not take.
REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)


class LLMClientWrapper(TextModelWrapper):
    """One call for each row, with the prompts ``system`` (optional) and ``user`` of a prompts.yaml.

    ``model.params``: ``prompts`` is the path of prompts.yaml; all others (``temperature``, ``max_tokens``) go
    to the model. A prompt takes values of the row's columns as ``{{question}}``.
    """

    name = "llm"
    has_epochs = False
    _traces: Traces | None = None

    @classmethod
    def holds_code(cls, folder: Path, info: "Model") -> bool:
        return False

    def package(self, folder: Path, config: Settings) -> None:
        params = dict(config.model.params)
        if "prompts" not in params:
            raise TrainingError("model.params needs 'prompts', the path of a prompts.yaml.")
        copy_into(folder, "prompts.yaml", config.path(params.pop("prompts")))
        chat.split(config.model.implementation)
        content = {"model": config.model.implementation, "params": params}
        (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def ready(self, package: Path, llm: LlmSettings) -> None:
        config = read_json(package / "config.json")
        self._prompts = prompts.read(package / "prompts.yaml")
        if "user" not in self._prompts:
            raise TrainingError("prompts.yaml has no prompt 'user'.")
        self._name = config["model"]
        self._provider = chat.split(self._name)[0]
        self._most_tokens = next((n for name in LIMITS if (n := config["params"].get(name))), None)
        self._model = chat.vendor_model(self._name, llm, config["params"])

    def check_columns(self, columns: Sequence[str]) -> None:
        for name in PROMPTS:
            if unknown := [one for one in fields(self._prompts.get(name, "")) if one not in columns]:
                raise TrainingError(
                    f"The prompt {name!r} needs {', '.join(map(repr, unknown))}; data.features has: {', '.join(columns)}."
                )
            if unclear := unclear_path(self._prompts.get(name, ""), columns):
                raise TrainingError(f"The prompt {name!r} has {unclear}")

    def trace(self) -> None:
        self._traces = Traces.of_run(self.run_id)

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        """The row for a chat: all of it reaches the vendor, see `mlops_lib.wrappers.text.chats`."""
        found = for_provider(self._provider, options, self._most_tokens)
        question, _ = chats.split(messages[chats.last_question(messages)])
        self._model.check(messages)
        row = {self.text_column: question, CHAT: {"messages": list(messages), "options": found}}
        self._messages(row)  # the prompt may need a column that a chat lacks
        return row

    def next_row(
        self, row: Mapping[str, Any], said: Sequence[Message], message: Said, thread: str, last: Any
    ) -> dict[str, Any]:
        messages = [*said, {"role": "user", "content": message}]
        return {**row, self.text_column: message, CHAT: {"messages": messages, "options": {}}}

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        with vendors_refusals(row), self._traced(row) as ended:
            answer = await self._model.answer(self._messages(row), _options(row))
            ended.append(answer)
        # LangChain would tell the recorder of tool calls, which are in no text.
        trajectory = of_output(answer.completion) if answer.calls else Trajectory()
        return Generation(row, _output(row, answer), trajectory=trajectory)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        with vendors_refusals(row), self._traced(row) as ended:
            async with aclosing(self._model.stream(self._messages(row), _options(row))) as parts:
                async for part in parts:
                    if isinstance(part, Answer):
                        ended.append(part)
                        yield StreamEvent("prediction", _output(row, part))
                        continue
                    if part.text:
                        yield StreamEvent("token", part.text)
                    if part.calls:
                        yield StreamEvent("tool_calls", part.calls)

    @contextmanager
    def _traced(self, row: Mapping[str, Any]) -> Iterator[list[Answer]]:
        """Write a trace of the answer that the block appends, or of its failure."""
        began_ns, found, reason = time.time_ns(), list[Answer](), "the caller has left"
        try:
            yield found
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            if self._traces is not None:
                inputs = {"model": self._name, "messages": self._messages(row), **_options(row)}
                outputs = found[0].completion if found else None
                usage = dict(found[0].usage if found else NO_USAGE)
                self._traces.add(began_ns, inputs, outputs, usage, "" if found else reason)

    def _messages(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        columns = self.signature.inputs.input_names() if self.signature else ()
        system = fill(self._prompts["system"], row, columns) if "system" in self._prompts else None
        question = fill(self._prompts["user"], row, columns)
        found = chat_of(row)
        messages = found["messages"] if found else [{"role": "user", "content": question}]
        return chats.with_prompts(messages, system, question)


def _options(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = chat_of(row)
    return found["options"] if found else {}


def _output(row: Mapping[str, Any], answer: Answer) -> Any:
    """The prediction: a completion for a chat, else the text."""
    return answer.completion if chat_of(row) else answer.text


@contextmanager
def vendors_refusals(row: Mapping[str, Any]) -> Iterator[None]:
    """Make the vendor's refusal of a chat the caller's error:
    the messages and options are the caller's own."""
    try:
        yield
    except Exception as error:
        if chat_of(row) is None or getattr(error, "status_code", 0) not in REFUSED or is_not_sent(error):
            raise
        raise InputError(f"The model's vendor refused the chat: {error}") from None


def is_not_sent(error: Exception) -> bool:
    """Whether the platform itself refused to send the call, for want of a key, say."""
    body = getattr(error, "body", None)
    return isinstance(body, Mapping) and body.get("code") == "not_sent"


def fill(template: str, row: Mapping[str, Any], columns: Collection[str] = ()) -> str:
    """A prompt with the row's values in place of its fields.

    Args:
        columns: Those of a logged model. Older models may have other text between double braces,
            such as ``{{a, b}}``, which stays as it is: when they were logged, it was no field.

    Raises:
        InputError: The prompt names a column that the row lacks.
    """

    def value(name: str) -> str | None:
        if columns and name not in columns and not re.fullmatch(r"\w+", name):
            return None
        if row.get(name) is None:
            raise InputError(f"The prompt needs {name!r}, which the row lacks.")
        return str(row[name])

    return filled(template, value)
