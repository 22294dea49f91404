"""Threads for the blocking code of a model that waits. A thread's job belongs to a call, and ends with it."""

import ctypes
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from serving.blocking_calls import Interrupted

MAX_THREADS = 256


class Jobs:
    """The jobs of one call that have not ended."""

    def __init__(self) -> None:
        self._jobs: dict[Future[Any], _Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, future: "Future[Any]", job: "_Job") -> None:
        """Count a job until its future is done."""
        self._jobs[future] = job
        future.add_done_callback(self._jobs.pop)

    def interrupt(self) -> None:
        """Drop jobs that wait for a thread, and raise `Interrupted` once in the others. It ends Python code,
        and no other."""
        for future, job in list(self._jobs.items()):
            if not future.cancel():
                job.interrupt()


#: The jobs of the call that the running code belongs to. Tasks and threads inherit it.
current: ContextVar[Jobs | None] = ContextVar("jobs_of_call", default=None)


class CallThreads(ThreadPoolExecutor):
    """An event loop's default executor."""

    def __init__(self) -> None:
        super().__init__(MAX_THREADS, "model")

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run a function in a thread, as a job of the current call."""
        job = _Job()
        future = super().submit(job.run, fn, args, kwargs)
        if (jobs := current.get()) is not None:
            jobs.add(future, job)
        return future


class _Job:
    """A function in a thread. An interruption never reaches the thread's next job."""

    __slots__ = ("_interrupted", "_lock", "_thread")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._interrupted = False

    def run(self, function: Any, arguments: Any, keywords: Any) -> Any:
        with self._lock:
            if self._interrupted:
                raise Interrupted
            self._thread = threading.get_ident()
        try:
            return function(*arguments, **keywords)
        except StopIteration as error:  # no future can hold one
            raise RuntimeError(f"The function raised {error!r}.") from error
        finally:
            with self._lock:
                if self._interrupted:
                    # The interruption may not have been raised yet. To take it back would leave CPython's flag for it
                    # set, and with the flag no traced code goes on (a debugger, coverage): so it is raised here.
                    try:
                        _interrupt(self._thread)
                        while True:
                            pass
                    except Interrupted:
                        pass
                self._thread = None

    def interrupt(self) -> None:
        with self._lock:
            if not self._interrupted and self._thread is not None:
                _interrupt(self._thread)
            self._interrupted = True


def _interrupt(thread: int) -> None:
    """Raise `Interrupted` in a thread at its next step."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
