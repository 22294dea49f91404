"""A model process: it opens one model, and answers calls about it until the gateway closes the socket."""

import contextlib
import faulthandler
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import numpy as np

from serving.isolation import waiting
from serving.isolation.channel import Channel, end
from serving.isolation.computing import Computing
from serving.isolation.failures import failed
from serving.isolation.loading import open_model
from serving.isolation.messages import Load
from serving.operations import logs

log = logging.getLogger("serving")
#: Between 0, as for other processes, and 1000, which is ended first.
OOM_SCORE = "500"


def run(connection: socket.socket) -> None:
    """Serve the gateway at the other end of `connection`; does not return."""
    _prepare(connection)
    channel = Channel(connection)
    load = _first_message(channel)
    try:
        model = open_model(load)
    except BaseException as error:
        channel.send(failed(0, error))
        end()
    if model.wrapper.waits:
        waiting.serve(channel, model)
    Computing(channel, model).serve()


def _prepare(connection: socket.socket) -> None:
    connection.set_inheritable(False)
    sys.argv = ["model"]
    # Compiled files beside the model's would change the digest of the cached version.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    faulthandler.enable(sys.stderr.fileno())  # a crash in native code leaves the stack in the log
    with contextlib.suppress(OSError):  # where memory runs out, this process ends, and not the gateway
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    np.random.seed()  # as Python's `random` does by itself after a fork
    logs.configure()
    logging.getLogger().handlers = logging.getLogger("serving").handlers
    threading.excepthook = _log_exception
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _first_message(channel: Channel) -> Load:
    while not (messages := channel.receive()):
        pass
    assert isinstance(messages[0], Load)
    return messages[0]


def _log_exception(about: threading.ExceptHookArgs) -> None:
    if about.exc_value and not isinstance(about.exc_value, SystemExit):
        log.error("a thread of the model failed", exc_info=about.exc_value)
