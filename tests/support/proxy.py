"""A TCP proxy whose server can be slow, silent or away."""

import contextlib
import socket
import threading
import time
from typing import Literal, Self

Mode = Literal["through", "slow", "silent", "away"]
#: Seconds that each piece takes with a slow server.
DELAY_S = 0.05


class Proxy:
    """Passes connections on to a local port.

    Args:
        target: The server's port.
        port: Where it listens; a free one by default.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._mode: Mode = "through"
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def mode(self) -> Mode:
        """slow: each piece comes late; silent: nothing passes; away: connections are closed at once."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "away":
            for connection in list(self._open):
                self._close(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer, and close all connections, as a server that was killed."""
        self._close(self._listening)
        self.mode = "away"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    if self._mode == "away":
                        raise ConnectionRefusedError
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                for ends in ((client, server), (server, client)):
                    self._open.add(ends[0])
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                if self._mode == "slow":
                    time.sleep(DELAY_S)
                while self._mode == "silent":
                    time.sleep(DELAY_S)
                sink.sendall(piece)
        self._open.discard(source)
        self._close(source)
        self._close(sink)

    @staticmethod
    def _close(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
