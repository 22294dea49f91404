"""SIGUSR1 ends the call under way in the main thread, and nothing else."""

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from serving.blocking_calls import Interrupted

T = TypeVar("T")


class Interrupts:
    """Makes calls that SIGUSR1 can end. It raises `Interrupted` in Python code and in calls of the system, such as sleep."""

    def __init__(self) -> None:
        self._running = False
        signal.signal(signal.SIGUSR1, self._interrupt)

    def call(self, work: Callable[[], T]) -> T:
        """The result of `work`.

        Raises:
            Interrupted: The signal came before it had ended.
        """
        try:
            self._running = True
            return work()
        finally:
            self._running = False

    def _interrupt(self, *_: Any) -> None:
        if self._running:
            self._running = False
            raise Interrupted
