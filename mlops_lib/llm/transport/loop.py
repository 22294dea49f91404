"""One event loop in its own thread, for synchronous callers such as a notebook or `predict`."""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="llm", daemon=True).start()
    return loop


def run(coroutine: "Coroutine[Any, Any, T]") -> T:
    """Run a coroutine with the caller's context variables, and return its result.

    Also works where an event loop is running already (Jupyter). Ctrl-C cancels the coroutine.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
