"""Decoding of ``multipart/form-data`` bodies (RFC 7578), which are whole in memory
and bounded by the gateway."""

import logging
from http import HTTPStatus
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.web.problems import Problem, invalid_input

#: Content type of a form.
FORM = "multipart/form-data"
#: Most parts of a form: each costs as much time as a small row of JSON.
MAX_PARTS = 1_000
#: Characters of a name that browsers write in this way.
ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}
#: Encodings of a part that leave its bytes as they are.
IDENTITY = (b"", b"binary", b"8bit", b"7bit")
#: The parser's own log has a line for each bad body; the gateway's log counts them.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class Part(NamedTuple):
    """One part of a form: the value of a field, or a file.

    Attributes:
        filename: "" for a file without a name, such as that of a file chooser without a choice;
            None for a value.
    """

    name: str
    data: bytes
    filename: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.filename is not None


class _Parts:
    """Collects the parts, as callbacks of the parser."""

    def __init__(self) -> None:
        self.found: list[tuple[dict[bytes, bytes], list[bytes]]] = []
        self.is_whole = False
        self._name = self._value = b""

    def on_part_begin(self) -> None:
        if len(self.found) == MAX_PARTS:
            detail = f"The form has more than {MAX_PARTS} parts. Send fewer rows a request, or JSON."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_parts", detail)
        self.found.append(({}, []))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.found[-1][1].append(data[start:end])

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.found[-1][0][self._name.lower()] = self._value
        self._name = self._value = b""

    def on_end(self) -> None:
        self.is_whole = True


def parts(body: bytes, content_type: bytes) -> list[Part]:
    """The parts of a form, in order.

    Args:
        content_type: The header of the request, with the boundary.

    Raises:
        Problem: 400 for a body that is no such form; 413 for too many parts; 422 for a part without a name.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise _invalid("its Content-Type names no boundary. Let the HTTP library set this header")
    collected = _Parts()
    names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "end")
    callbacks = {f"on_{name}": getattr(collected, f"on_{name}") for name in names}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _invalid(str(error).rstrip(".")) from None
    if not collected.is_whole:
        raise _invalid("it breaks off before its last boundary")
    return [_part(headers, b"".join(pieces)) for headers, pieces in collected.found]


def _part(headers: dict[bytes, bytes], data: bytes) -> Part:
    disposition, options = parse_options_header(headers.get(b"content-disposition"))
    name = options.get(b"name")
    if disposition != b"form-data" or name is None:
        raise invalid_input(
            "A part of the form has no name: its head must have 'Content-Disposition: form-data; name=...'."
        )
    text = name.decode("utf-8", "replace")
    if (encoding := headers.get(b"content-transfer-encoding", b"").strip().lower()) not in IDENTITY:
        raise invalid_input(
            f"Field {text!r}: send its bytes as they are, without Content-Transfer-Encoding {encoding.decode('latin-1')!r}."
        )
    filename = options.get(b"filename")
    return Part(text, data, None if filename is None else filename.decode("utf-8", "replace"))


def unescaped(name: str) -> str:
    """A name with the characters that browsers escape in it."""
    for escaped, character in ESCAPED.items():
        name = name.replace(escaped, character)
    return name


def _invalid(reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_form", f"The body is no {FORM}: {reason}.")
