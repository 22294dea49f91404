"""A vendor's LLM with prompts and no code: ``model.implementation: openai:gpt-4o-mini``."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError, TrainingError
from mlops_lib.llm import chat
from mlops_lib.llm.generation import Generation
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers import prompts
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import TextModelWrapper
from mlops_lib.wrappers.text_package import copy_into, read_json

if TYPE_CHECKING:
    from mlflow.models import Model

FIELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class LLMClientWrapper(TextModelWrapper):
    """One call for each row, with the prompts ``system`` (optional) and ``user`` of a prompts.yaml.

    ``model.params``: ``prompts`` is the path of prompts.yaml; all others (``temperature``, ``max_tokens``) go
    to the model. A prompt takes values of the row's columns as ``{{question}}``.
    """

    name = "llm"
    has_epochs = False

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
        self._model = chat.chat_model(config["model"], llm, **config["params"])

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        message = await self._model.ainvoke(self._messages(row))
        return Generation(row, str(message.text))

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        parts = []
        async for chunk in self._model.astream(self._messages(row)):
            if text := str(chunk.text):
                parts.append(text)
                yield StreamEvent("token", text)
        yield StreamEvent("prediction", "".join(parts))

    def _messages(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        order = (("system", "system"), ("user", "user"))
        return [(role, fill(self._prompts[name], row)) for role, name in order if name in self._prompts]


def fill(template: str, row: Mapping[str, Any]) -> str:
    """A prompt with the row's values in place of its fields. A value is never read as a template itself.

    Raises:
        InputError: The prompt names a column that the row lacks.
    """

    def value(match: re.Match[str]) -> str:
        if row.get(match[1]) is None:
            raise InputError(f"The prompt needs {match[1]!r}, which the row lacks.")
        return str(row[match[1]])

    return FIELD.sub(value, template)
