"""Blocking calls off the event loop: gathered into batches, made in daemon threads, limited in time.

A daemon thread does not hold up the end of the process, however long its call hangs.
Everything here is called in the event loop's thread, except the work itself.
"""

import asyncio
import concurrent.futures
import ctypes
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

A = TypeVar("A")
T = TypeVar("T")
#: Hung calls, each with a thread that Python cannot stop; with more of them only a
#: restart of the process helps.
MAX_HUNG = 32
#: Threads that wait for the next call.
MAX_IDLE = 4
#: Turns of the event loop that a batch is gathered for.
MAX_TURNS = 8


class Interrupted(BaseException):
    """Raised inside a thread whose call took too long. A model's `except Exception` does not catch it."""


class Call:
    """One call on its way through a thread.

    Attributes:
        about: The argument of `work`.
        late: It has taken longer than its limit.
    """

    __slots__ = ("about", "done", "late", "loop", "timer", "work")

    def __init__(
        self, work: Callable[[Any], Any], about: Any, done: Callable[["Call", Any, float], None]
    ) -> None:
        self.work, self.about, self.done, self.late = work, about, done, False
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None


class _Thread:
    """A daemon thread that makes one call after another."""

    __slots__ = ("inbox", "thread")

    def __init__(self, pool: "DaemonThreads") -> None:
        self.inbox: SimpleQueue[Call | None] = SimpleQueue()
        self.thread = threading.Thread(target=pool._work, args=(self,), daemon=True, name=pool.name)
        self.thread.start()


class DaemonThreads:
    """As many threads as there are calls at once; idle threads are used again.

    Args:
        name: Of the threads.
        interrupt: Raise `Interrupted` in the thread of a call that takes too long. It stops Python code,
            and no other.
    """

    def __init__(self, name: str, interrupt: bool = False) -> None:
        self.name, self._interrupt = name, interrupt
        self._idle: list[_Thread] = []
        self._late: list[_Thread] = []
        self._closed = False

    @property
    def hung(self) -> int:
        """Calls that took too long and still have not ended."""
        self._late = [thread for thread in self._late if thread.thread.is_alive()]
        return len(self._late)

    def call(
        self,
        work: Callable[[A], T],
        about: A,
        limit_s: float,
        done: Callable[[Call, T, float], None],
        late: Callable[[Call], None],
    ) -> Call:
        """Run `work(about)` in a thread.

        Args:
            work: Must not raise.
            about: See `Call`.
            limit_s: Seconds until the call is late.
            done: Gets the call, what `work` returned and its seconds, on the event loop;
                also of a late call that ends after all.
            late: Gets the call when it is late.
        """
        call = Call(work, about, done)
        thread = self._idle.pop() if self._idle else _Thread(self)
        call.timer = call.loop.call_later(limit_s, self._give_up, thread, call, late)
        thread.inbox.put(call)
        return call

    def close(self) -> None:
        """Let the idle threads end, and the others after their call."""
        self._closed = True
        for thread in self._idle:
            thread.inbox.put(None)
        self._idle.clear()

    def _give_up(self, thread: _Thread, call: Call, late: Callable[[Call], None]) -> None:
        call.late = True
        self._late.append(thread)
        thread.inbox.put(None)  # the thread ends when its call does
        if self._interrupt and thread.thread.is_alive():  # else another thread may have its number by now
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.thread.ident or 0), ctypes.py_object(Interrupted)
            )
        late(call)

    def _finish(self, thread: _Thread, call: Call, result: Any, seconds: float) -> None:
        if not call.late:
            assert call.timer
            call.timer.cancel()
            if self._closed or len(self._idle) >= MAX_IDLE:
                thread.inbox.put(None)
            else:
                self._idle.append(thread)
        call.done(call, result, seconds)

    def _work(self, thread: _Thread) -> None:
        try:
            while (call := thread.inbox.get()) is not None:
                began = time.perf_counter()
                result = call.work(call.about)
                seconds = time.perf_counter() - began
                call.loop.call_soon_threadsafe(self._finish, thread, call, result, seconds)
        except Interrupted:
            pass
        except RuntimeError:  # the event loop is closed: the process ends
            pass


def future_error(error: BaseException) -> Exception:
    """The exception for a future. Neither StopIteration nor SystemExit can be one."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def gather(loop: asyncio.AbstractEventLoop, waiting: Callable[[], int], then: Callable[[], None]) -> None:
    """Call `then` once a turn of the event loop has brought nothing new;
    at the latest after `MAX_TURNS` turns.

    This does not wait for time to pass: it lets the loop take in what has already reached the process.

    Args:
        waiting: How much waits; 0 to go on at once.
    """
    loop.call_soon(_turn, loop, waiting, then, 0, MAX_TURNS)


def _turn(
    loop: asyncio.AbstractEventLoop,
    waiting: Callable[[], int],
    then: Callable[[], None],
    seen: int,
    left: int,
) -> None:
    if (now := waiting()) > seen and left:
        loop.call_soon(_turn, loop, waiting, then, now, left - 1)
    else:
        then()


def in_daemon_thread(work: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Run `work` in a daemon thread of its own; its result or exception, without a limit."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # SystemExit too
            outcome.set_exception(future_error(error))

    threading.Thread(target=run, daemon=True, name=name).start()
    return asyncio.wrap_future(outcome)
