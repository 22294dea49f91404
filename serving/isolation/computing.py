"""The loop of a model that computes: one message after another, in the main thread.

Python runs signal handlers in the main thread. So SIGUSR1 ends a call there, also while it sleeps.
"""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mlops_lib.errors import ModelError
from mlops_lib.llm.accounting.usage import Usage
from serving.blocking_calls import Interrupted
from serving.inference.jobs import run
from serving.inference.json_values import builtins
from serving.inference.predictions import checked
from serving.isolation.channel import Channel
from serving.isolation.failures import failed
from serving.isolation.loading import Model, loaded
from serving.isolation.messages import Answer, Answers, Batch, ChatRow, KeepsState, Ping, Pong, ToProcess
from serving.isolation.wire import Part

Frame = Callable[[Answers], list[Part]]


class Computing:
    """Answers calls about one model over a channel."""

    def __init__(self, channel: Channel, model: Model) -> None:
        self._channel, self._model = channel, model
        self._running = False

    def serve(self) -> None:
        """Let the model answer its example, then answer calls; does not return."""
        signal.signal(signal.SIGUSR1, self._interrupt)
        wrapper = self._model.wrapper
        self._reply(0, lambda: self._channel.frame(loaded(self._model, wrapper.predict)))
        while True:
            for message in self._channel.receive():
                self._reply(message.id, partial(self._interruptible, partial(self._answer, message)))

    def _answer(self, message: ToProcess) -> list[Part]:
        frame, model = self._channel.frame, self._model
        match message:
            case Batch():
                return answer(model.predict, message, frame)
            case ChatRow(call, chat):
                return frame(Answer(call, builtins(model.wrapper.chat_row(*chat)), [], Usage()))
            case KeepsState(call, rows):
                return frame(Answer(call, model.keeps_state(rows), [], Usage()))
            case Ping(call):
                return frame(Pong(call))
        raise ModelError(f"{model.name} computes, and takes no {type(message).__name__}.")

    def _reply(self, call: int, work: Callable[[], list[Part]]) -> None:
        try:
            parts = work()
        except BaseException as error:  # an answer may lack an encoding, and a model raise anything
            parts = self._channel.frame(failed(call, error))
        self._channel.send_frame(parts)

    def _interruptible(self, work: Callable[[], list[Part]]) -> list[Part]:
        try:
            self._running = True
            return work()
        finally:
            self._running = False

    def _interrupt(self, *_: Any) -> None:
        if self._running:
            self._running = False
            raise Interrupted


def answer(predict: Callable[[list[Any]], Any], batch: Batch, frame: Frame) -> list[Part]:
    """The frame of the answers to a batch. A job with an answer that cannot be sent fails alone.

    Args:
        frame: Makes the frame of a message; raises when a value cannot be sent.

    Raises:
        Interrupted: SIGUSR1 came.
    """
    began = time.perf_counter()

    def call(rows: list[Any]) -> tuple[Any, list[int]]:
        predictions, bad = checked(predict(rows), len(rows))
        return predictions if isinstance(predictions, np.ndarray) else builtins(predictions), bad

    def sent(rows: list[Any]) -> tuple[Any, list[int]]:
        predictions, bad = call(rows)
        frame(Answers(batch.id, predictions, bad, {}, 0.0))
        return predictions, bad

    def answers(call: Callable[[list[Any]], tuple[Any, list[int]]]) -> list[Part]:
        found = run(call, batch.jobs)
        failures = {number: failed(batch.id, error) for number, error in found.failed.items()}
        return frame(Answers(batch.id, found.predictions, found.bad, failures, time.perf_counter() - began))

    try:
        return answers(call)
    except Exception:
        return answers(sent)
