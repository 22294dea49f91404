"""One event loop in a thread of its own, for callers that are not asynchronous (a notebook, `predict`)."""

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
    """Run a coroutine to its end and return its result; context variables are those of the caller.

    Works where a loop runs already (Jupyter); on Ctrl-C the coroutine is cancelled.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
