"""A process that imports once what all steps of a local run import, and forks a fresh child for each step.

The server imports packages, renders an empty record, waits on a socket, and forks. It has no Python
thread when it forks; OpenBLAS and jemalloc, which start threads of their own on import, can be forked.
The server ends when its standard input is closed, that is, with the runner that started it. Its
children end with their callers.
"""

import contextlib
import gc
import json
import os
import pickle
import pkgutil
import signal
import socket
import sys
import threading
import traceback
from multiprocessing.connection import wait
from typing import Any

from mlops_lib.errors import MlopsError
from mlops_lib.step_cache import key
from mlops_lib.steps import kernel_ahead, preload, record
from mlops_lib.steps.fork_client import FORK_SERVER_ENV, LENGTH, receive

STDIN, STDOUT, STDERR = range(3)


def main(arguments: list[str]) -> None:
    """Serve the listening socket with file descriptor `arguments[0]`; then load `arguments[1:]`."""
    preload.leave_current_folder()
    # The children run the code that is imported now, also when somebody edits it during the run.
    # So their keys in the step cache have the digest of now.
    key.digest_of_library()
    listener = socket.socket(fileno=int(arguments[0]))
    if connection := _serve(listener, tuple(arguments[1:])):
        listener.close()
        _call(connection)


def _serve(listener: socket.socket, modules: tuple[str, ...]) -> socket.socket | None:
    """Fork for each connection. Returns the connection in a child, None in the server when it ends.

    The first step needs no package of the model, so requests are served between two imports of `modules`.
    """
    for _ in preload.each(preload.STEP + preload.KERNEL):
        pass
    record.render_first_page()
    os.register_at_fork(after_in_child=_reseed)
    loading = preload.each(modules)
    while True:
        is_loading = next(loading, "") != ""
        ready = wait([listener, STDIN], 0 if is_loading else None)
        with contextlib.suppress(ChildProcessError):  # there is none left
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if STDIN in ready:
            return None
        if listener in ready:
            connection, _ = listener.accept()
            gc.freeze()  # a collection in a child would copy the pages that it shares with the server
            with contextlib.suppress(OSError):  # too little memory, or too many processes
                if os.fork() == 0:
                    return connection
            connection.close()


def _reseed() -> None:
    """Give a child random numbers of its own. Python's `random` does so by itself;
    torch starts from a constant."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _call(connection: socket.socket) -> None:
    """Call the function that the connection asks for, with the streams,
    folder and environment of its caller."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    length, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 2)
    request: dict[str, Any] = json.loads(receive(connection, *LENGTH.unpack(length)))
    for stream, target in zip(streams, (STDOUT, STDERR), strict=True):
        os.dup2(stream, target)
        os.close(stream)
    preload.take_environment(request["environment"])
    os.environ.pop(FORK_SERVER_ENV, None)
    os.chdir(request["folder"])
    kernel_ahead.fork(connection)
    sys.path[:] = request["path"]
    connection.sendall(LENGTH.pack(os.getpid()))
    threading.Thread(target=_end_with, args=[connection], daemon=True).start()
    try:
        function = pkgutil.resolve_name(request["function"])
        reply: Any = function(*request["arguments"], **request["keywords"])
    except BaseException as error:
        reply = error
        if not isinstance(error, MlopsError | KeyboardInterrupt):
            error.add_note(f"In the fork:\n{traceback.format_exc()}")
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(_pickled(reply))
    os._exit(0)  # no clean-up of an interpreter this large, for which the caller would wait


def _end_with(connection: socket.socket) -> None:
    """Stop this process as Ctrl-C does when its caller is gone."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _pickled(reply: Any) -> bytes:
    """An error of a library may hold what cannot be pickled: then its text has to do."""
    try:
        pickle.loads(pickled := pickle.dumps(reply))
        return pickled
    except Exception:
        return pickle.dumps(MlopsError(f"{type(reply).__name__}: {reply}"))


if __name__ == "__main__":
    main(sys.argv[1:])
