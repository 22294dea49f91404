"""Ctrl-C and SIGTERM during a local run: the running step gets the time to store its record."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def handed_to_step(stop: Callable[[], None]) -> Iterator[threading.Event]:
    """Stop the running step at the first interrupt and wait for it;
    a second interrupt ends the block at once.

    kfp.local alone would leave the step running without a parent.

    Args:
        stop: Asks the running step to end.

    Yields:
        An event that is set after the first interrupt.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def stop_step(number: int, _: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop_step) for number in numbers]
    try:
        yield interrupted
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def stop_child_steps() -> None:
    """Send SIGTERM to the process of the step, which then stops its kernel itself."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "kfp.dsl.executor_main" in process.cmdline():
                process.terminate()
