"""Streams of MLflow's conversational models (ChatModel, ChatAgent, ResponsesAgent)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from mlops_lib.wrappers.interface import StreamEvent

#: Chunks that wait to be taken: a stream without an end must fill no memory, and end when its caller leaves.
MAX_AHEAD = 16


def can_stream(model: Any) -> bool:
    """Whether a conversational model has a `predict_stream` of its own."""
    return type(model).predict_stream.__module__ != "mlflow.pyfunc.model"


async def events(chunks: Callable[[], Iterator[dict[str, Any]]]) -> AsyncIterator[StreamEvent]:
    """A token for each piece of text, then the answer that the pieces make.

    Args:
        chunks: MLflow's chunks; iterated in one thread, because MLflow's context belongs to it.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()
    room, left = threading.Semaphore(MAX_AHEAD), threading.Event()

    def work() -> None:
        try:
            for chunk in chunks():
                room.acquire()
                if left.is_set():
                    return
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    task = loop.create_task(asyncio.to_thread(work))
    answer = Answer()
    try:
        while (chunk := await queue.get()) is not None:
            room.release()
            if text := answer.add(chunk):
                yield StreamEvent("token", text)
        await task
    finally:
        left.set()
        room.release()
        task.cancel()
    yield StreamEvent("prediction", answer.whole())


class Answer:
    """The answer in the form of the model's `predict`, from its chunks."""

    def __init__(self) -> None:
        self._text, self._finish = "", "stop"
        self._messages: dict[Any, dict[str, Any]] = {}
        self._items: list[Any] = []

    def add(self, chunk: dict[str, Any]) -> str:
        """Add a chunk; its piece of text, "" without one."""
        if choices := chunk.get("choices"):  # of a ChatModel
            self._finish = choices[0].get("finish_reason") or self._finish
            text = (choices[0].get("delta") or {}).get("content") or ""
            self._text += text
            return text
        if chunk.get("type") == "response.output_item.done":  # of a ResponsesAgent
            self._items.append(chunk["item"])
            return ""
        delta = chunk.get("delta")
        if isinstance(delta, dict):  # of a ChatAgent: pieces of a message have its id
            message = self._messages.setdefault(delta.get("id"), {**delta, "content": ""})
            text = delta.get("content") or ""
            message["content"] += text
            return text
        return delta if isinstance(delta, str) and chunk.get("type") == "response.output_text.delta" else ""

    def whole(self) -> dict[str, Any]:
        """The answer."""
        if self._messages:
            return {"messages": list(self._messages.values())}
        if self._items:
            return {"object": "response", "output": self._items}
        message = {"role": "assistant", "content": self._text}
        return {"choices": [{"index": 0, "message": message, "finish_reason": self._finish}]}
