"""Compressed bodies (``Content-Encoding``): requests are inflated up to a limit,
answers deflated for callers who ask.

gzip and deflate, from the standard library. Long bodies are worked on in a thread:
zlib releases Python's lock.
"""

import asyncio
import zlib
from http import HTTPStatus

from serving.web.problems import Problem, too_large

#: Name of a coding -> zlib's `wbits`.
CODINGS = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
#: Longer bodies are worked on in a thread.
INLINE_BYTES = 16 * 1024
#: Shorter answers are sent as they are: their headers are as long.
MIN_BYTES = 1024
#: The fastest level: an answer waits for it.
LEVEL = 1


async def inflated(body: bytes, coding: bytes, limit: int) -> bytes:
    """A request's body without its coding.

    Args:
        coding: The header's value.
        limit: Most bytes of the result.

    Raises:
        Problem: 415 for a coding that is not known, 400 for a body that has another, 413 beyond the limit.
    """
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in CODINGS:
        detail = (
            f"Content-Encoding {coding.decode('latin-1')!r} is not known here. Send gzip or deflate, once."
        )
        headers = {"Accept-Encoding": "gzip, deflate"}
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail, headers=headers)
    if len(body) <= INLINE_BYTES:
        return _inflate(body, name, limit)
    return await asyncio.to_thread(_inflate, body, name, limit)


def wanted(accept: bytes) -> bytes:
    """The coding to answer in by an ``Accept-Encoding``; empty: none."""
    for each in accept.lower().split(b","):
        name, _, quality = each.replace(b" ", b"").partition(b";q=")
        refused = quality and not quality.strip(b"0.")
        if name in (b"gzip", b"deflate") and not refused:
            return name
    return b""


async def deflated(body: bytes, coding: bytes) -> bytes:
    """An answer's body in a coding of `wanted`."""
    if len(body) <= INLINE_BYTES:
        return zlib.compress(body, LEVEL, CODINGS[coding])
    return await asyncio.to_thread(zlib.compress, body, LEVEL, CODINGS[coding])


def _inflate(body: bytes, name: bytes, limit: int) -> bytes:
    wbits = CODINGS[name]
    if name == b"deflate" and not _has_zlib_header(body):
        wbits = -zlib.MAX_WBITS  # some clients send deflate without zlib's header
    stream = zlib.decompressobj(wbits)
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise _invalid(name, str(error)) from None
    if len(found) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise _invalid(name, "it breaks off")
    if stream.unused_data:  # of several members, each step would copy the rest
        raise _invalid(name, "bytes follow its end")
    return found


def _invalid(name: bytes, reason: str) -> Problem:
    detail = f"The body is no {name.decode()}: {reason}."
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_encoding", detail)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 15 == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
