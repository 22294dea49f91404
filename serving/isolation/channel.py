"""The socket of a model process for one thread that may block."""

import os
import socket
from typing import NoReturn

from serving.isolation.messages import Message, ToProcess
from serving.isolation.wire import Part, Reader, Writer

#: Most pieces in one call of the system.
MAX_PIECES = 256


class Channel:
    """Messages over a blocking socket. The process ends when the other side is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._pid = os.getpid()
        self._reader = Reader[ToProcess](ToProcess, unpickles=True)
        self.frame = Writer().frame

    def receive(self) -> list[ToProcess]:
        """The next messages; none when a part of one came."""
        count = self.connection.recv_into(self._reader.space())
        return self._reader.received(count) if count else end()

    def send(self, message: Message) -> None:
        """Send a message. Raises what `Writer.frame` raises."""
        self.send_frame(self.frame(message))

    def send_frame(self, parts: list[Part]) -> None:
        """Send a frame. A fork of the process, which a model's code has made, ends here instead."""
        if os.getpid() != self._pid:
            end()
        left = [memoryview(part) for part in parts if len(part)]
        try:
            while left:
                sent = self.connection.sendmsg(left[:MAX_PIECES])
                while left and sent >= len(left[0]):
                    sent -= len(left.pop(0))
                if sent:
                    left[0] = left[0][sent:]
        except OSError:
            end()


def end() -> NoReturn:
    """End this process at once, whatever its threads do."""
    os._exit(0)
