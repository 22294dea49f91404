"""Read server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)
from pieces of any size."""

from collections.abc import Iterator

#: Bytes of one event, at most: what is longer is no event of a chat.
MAX_EVENT = 2**24


class EventReader:
    """The data of each event, in order. An event's pieces may be cut anywhere, inside a character too."""

    def __init__(self) -> None:
        self._rest, self._data = b"", list[bytes]()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of the events that end in this piece.

        Raises:
            ValueError: An event is longer than `MAX_EVENT`.
        """
        lines = (self._rest + piece if self._rest else piece).splitlines(keepends=True)
        # A line without its end goes on in the next piece; so may one with half of "\r\n".
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._rest) > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        for line in lines:
            line = line.rstrip(b"\r\n")
            if not line:
                if self._data:
                    yield b"\n".join(self._data)
                    self._data.clear()
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])

    def end(self) -> Iterator[bytes]:
        """The data of an event that the last bytes of the stream have left without its empty line."""
        yield from self.feed(b"\n\n")
