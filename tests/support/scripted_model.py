"""A chat model that streams a fixed text, word by word; it needs no vendor."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field


class ScriptedModel(BaseChatModel):
    """Answers with `text`; where `tool` is set, a user's message gets a call of that tool first."""

    text: str
    tool: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _answer(self, messages: Any) -> AIMessage:
        if self.tool and messages[-1].type == "human":
            return AIMessage("", tool_calls=[{"name": self.tool, "args": self.arguments, "id": "c1"}])
        return AIMessage(self.text)


class StreamedModel(ScriptedModel):
    """A ScriptedModel that answers in chunks."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages)
        for call in answer.tool_calls:
            part = {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[part]))
        for word in str(answer.content).split():
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))
