"""Models as people log them with MLflow alone. Each says in words what its `predict` got."""

from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import (
    ChatChoice,
    ChatChoiceDelta,
    ChatChunkChoice,
    ChatCompletionChunk,
    ChatCompletionResponse,
    ChatMessage,
)
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent
from pydantic import BaseModel


class Seen(mlflow.pyfunc.PythonModel):
    """A text for each row: what a frame had in it, or what else came in."""

    def predict(self, context, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            return [str(_plain(row)) for row in model_input.to_dict("records")]
        if isinstance(model_input, dict):
            names = list(model_input)
            return [str(dict(zip(names, row, strict=True))) for row in _rows(model_input)]
        return [str(_plain(item)) for item in model_input]


class NoGaps(mlflow.pyfunc.PythonModel):
    """Raises ValueError for NaN, as many estimators do."""

    def predict(self, context, model_input, params=None):
        if np.isnan(model_input).any():
            raise ValueError("Input contains NaN")
        return model_input.sum(axis=1)


class Kinds(mlflow.pyfunc.PythonModel):
    """Name and dtype of each column, so not one answer a row."""

    def predict(self, context, model_input, params=None):
        return [[str(name), str(dtype)] for name, dtype in model_input.dtypes.items()]


class Texts(mlflow.pyfunc.PythonModel):
    """Takes a list of texts."""

    def predict(self, model_input: list[str], params=None):
        return [text.upper() for text in model_input]


class Maps(mlflow.pyfunc.PythonModel):
    """Takes a list of dicts of numbers."""

    def predict(self, model_input: list[dict[str, float]], params=None):
        return [sum(row.values()) for row in model_input]


class Days(mlflow.pyfunc.PythonModel):
    """Takes a list of times."""

    def predict(self, model_input: list[datetime], params=None):
        return [str(when) for when in model_input]


class Doubled(mlflow.pyfunc.PythonModel):
    """Takes a list of whole numbers."""

    def predict(self, model_input: list[int], params=None):
        return [2 * number for number in model_input]


class Order(BaseModel):
    """A row with a part that may be left out."""

    amount: float
    tags: list[str] = []
    note: str | None = None


class Orders(mlflow.pyfunc.PythonModel):
    """Takes a list of pydantic models."""

    def predict(self, model_input: list[Order], params=None):
        return [f"{order.amount} {order.tags} {order.note}" for order in model_input]


class Params(mlflow.pyfunc.PythonModel):
    """Adds the params to the rows."""

    def predict(self, context, model_input, params=None):
        return [f"{row} {params}" for row in model_input.iloc[:, 0].tolist()]


class Top(mlflow.pyfunc.PythonModel):
    """Three answers for each row, with as many for no row as `skip` says."""

    def predict(self, context, model_input, params=None):
        return [f"{user}-{rank}" for user in model_input["user"] for rank in range(3)]


class Echo(mlflow.pyfunc.ChatModel):
    """Answers a chat in capitals."""

    def predict(self, context, messages, params):
        text = f"{messages[-1].content.upper()} {params.temperature} {params.max_tokens}"
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=text))
        return ChatCompletionResponse(choices=[choice], model="echo")


class Streams(Echo):
    """Streams a chat's answer in two pieces."""

    def predict_stream(self, context, messages, params):
        for content in ("HEL", "LO"):
            delta = ChatChoiceDelta(role="assistant", content=content)
            yield ChatCompletionChunk(choices=[ChatChunkChoice(index=0, delta=delta)], model="echo")


class StreamsAgent(mlflow.pyfunc.ChatAgent):
    """Streams a chat's answer in two pieces of one message."""

    def predict(self, messages, context=None, custom_inputs=None):
        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content="HELLO", id="1")])

    def predict_stream(self, messages, context=None, custom_inputs=None):
        for content in ("HEL", "LO"):
            yield ChatAgentChunk(delta=ChatAgentMessage(role="assistant", content=content, id="1"))


class StreamsResponses(mlflow.pyfunc.ResponsesAgent):
    """Streams an answer in two pieces, then the whole item."""

    def predict(self, request):
        return ResponsesAgentResponse(output=[self.create_text_output_item("HELLO", "1")])

    def predict_stream(self, request):
        for content in ("HEL", "LO"):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(content, "1"))
        item = self.create_text_output_item("HELLO", "1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


class EchoAgent(mlflow.pyfunc.ChatAgent):
    """Answers a chat in capitals."""

    def predict(self, messages, context=None, custom_inputs=None):
        text = f"{messages[-1].content.upper()} {custom_inputs}"
        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content=text, id="1")])


class EchoResponses(mlflow.pyfunc.ResponsesAgent):
    """Answers a request in capitals."""

    def predict(self, request):
        text = request.input[-1].content.upper()
        return ResponsesAgentResponse(output=[self.create_text_output_item(text, "1")])


def save(folder: Path, model: Any, example: Any = None, signature: Any = None) -> Path:
    """Save a model as MLflow alone does."""
    more = {} if example is None else {"input_example": example}
    mlflow.pyfunc.save_model(folder, python_model=model, signature=signature, pip_requirements=[], **more)
    return folder


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value) if isinstance(value, pd.Timestamp) else value


def _rows(arrays: dict[str, np.ndarray]) -> Any:
    return zip(*(array.tolist() for array in arrays.values()), strict=True)
