"""SIGTERM: the service is unready first, then refuses requests, then ends.
Every accepted request is answered."""

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from serving.service import Service

log = logging.getLogger("serving")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """While the block runs, SIGTERM ends the process at once: it has accepted no request yet."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def on_sigterm(service: Service) -> Iterator[None]:
    """While the block runs, SIGTERM starts a drain, and after it the earlier handler
    (uvicorn's graceful shutdown).

    For ``serving.drain_s`` the service is unready and still answers; each answer closes its connection, so
    that the load balancer chooses another instance. After that it refuses requests, and uvicorn closes the
    sockets and waits for the requests in flight.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)

    def pass_on() -> None:
        service.refusing = True
        if callable(before):
            before(signal.SIGTERM, None)
        else:
            raise SystemExit(0)

    def begin() -> None:
        if service.draining:
            return
        service.draining = True
        log.info("stopping: unready now, refusing in %s s", service.settings.serving.drain_s)
        loop.call_later(service.settings.serving.drain_s, pass_on)

    def handler(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
