"""Frames over a Unix socket: a header in msgpack, and arrays beside it, which are not copied into it.

A frame is ``u32 header bytes | u32 buffers | u64 bytes of each buffer | header | buffers``. The header and each buffer
begin at a multiple of `ALIGN` bytes, so that arrays are views of the bytes that came. Numbers are little-endian. The
header is one message (a tagged Struct of `messages`), in which msgpack's extension types stand for:

1. an array of numbers: number of its buffer, dtype, shape
2. a pickled value (`Exact`); arrays in it are buffers. Only the gateway writes it, and only a model process reads it
3. a whole number beyond 64 bits

The bytes of a model process are not trusted: `Reader` bounds sizes, checks types, and does not unpickle unless told to.
"""

import pickle
import struct
from math import prod
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from msgspec.msgpack import Ext

from mlops_lib.errors import ModelError

M = TypeVar("M")
ARRAY, PICKLED, BIG_INT = 1, 2, 3
ALIGN = 16
#: Header bytes and number of buffers; then the size of each buffer.
PREFIX = struct.Struct("<II")
SIZE = struct.Struct("<Q")
#: Buffers of a pickled value: the first one's number, and how many.
RANGE = struct.Struct("<II")
#: Largest frame, and most buffers in it.
MAX_BYTES, MAX_BUFFERS = 2**28, 1024
MAX_BIG_INT_BYTES = 1024
#: A frame of at most this size is sent in one piece, and received into a buffer that is used again.
SMALL_BYTES = 2**16
#: Kinds of arrays that are buffers: booleans, integers, floats.
NUMERIC, MAX_ITEM_BYTES = "biuf", 8
Part = bytes | memoryview


class WireError(ModelError):
    """The other side sent bytes that are no message, or a message is too large to send."""


class Exact:
    """A value that arrives with all its types. Reading it means unpickling, so a model process cannot send one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Writer:
    """Makes frames of messages.

    Args:
        pickles: Whether an `Exact` may be sent.
        max_bytes: Largest frame.
    """

    def __init__(self, pickles: bool = False, max_bytes: int = MAX_BYTES) -> None:
        self._pickles, self._max_bytes = pickles, max_bytes
        self._buffers: list[memoryview] = []
        self._encode = msgspec.msgpack.Encoder(enc_hook=self._extension).encode

    def frame(self, message: msgspec.Struct) -> list[Part]:
        """The pieces of a message's frame, to be sent in order.

        Raises:
            WireError: The frame would be too large, or a value is nested too deeply.
            Exception: A value has no encoding.
        """
        buffers: list[memoryview] = []
        self._buffers = buffers
        try:
            header = self._encode(message)
        except OverflowError:
            buffers.clear()
            header = self._encode(_big_ints_apart(message))
        except RecursionError:
            raise WireError("values are nested too deeply for one message") from None
        prefix = PREFIX.pack(len(header), len(buffers)) + b"".join(SIZE.pack(part.nbytes) for part in buffers)
        parts: list[Part] = [prefix + _padding(len(prefix)), header + _padding(len(header))]
        for buffer in buffers:
            parts += [buffer, _padding(buffer.nbytes)]
        total = sum(map(len, parts))
        if total > self._max_bytes or len(buffers) > MAX_BUFFERS:
            raise WireError(
                f"{total} bytes in {len(buffers)} arrays are too many for one message; the limits are {self._max_bytes} "
                f"and {MAX_BUFFERS}"
            )
        return [b"".join(parts)] if total <= SMALL_BYTES else parts

    def _extension(self, value: Any) -> Any:
        if isinstance(value, Exact) and self._pickles:
            first = len(self._buffers)
            pickled = pickle.dumps(value.value, 5, buffer_callback=self._add_pickled)
            return Ext(PICKLED, RANGE.pack(first, len(self._buffers) - first) + pickled)
        if isinstance(value, np.ndarray) and value.dtype.kind in NUMERIC and value.itemsize <= MAX_ITEM_BYTES:
            little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
            about = (len(self._buffers), little.dtype.str, value.shape)
            self._buffers.append(little.reshape(-1).view(np.uint8).data)
            return Ext(ARRAY, msgspec.msgpack.encode(about))
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"A value of type {type(value).__name__} cannot be sent.")

    def _add_pickled(self, buffer: pickle.PickleBuffer) -> None:
        self._buffers.append(buffer.raw())


class Reader(Generic[M]):
    """Puts the bytes that come together into messages. Receive into `space`, then call `received`.

    Args:
        messages: Their type: a union of tagged Structs.
        unpickles: Whether the other side is trusted with an `Exact`.
        max_bytes: Largest frame.
    """

    def __init__(self, messages: Any, unpickles: bool = False, max_bytes: int = MAX_BYTES) -> None:
        self._unpickles, self._max_bytes = unpickles, max_bytes
        self._small = memoryview(bytearray(SMALL_BYTES))
        #: Bytes of the frame that is coming: its first ones in `_small`, or all of them in `_large`.
        self._large: memoryview | None = None
        self._filled = 0
        self._buffers: list[memoryview] = []
        self._decode = msgspec.msgpack.Decoder(messages, ext_hook=self._value).decode

    def space(self) -> memoryview:
        """Room for the next bytes; never empty."""
        return (self._small if self._large is None else self._large)[self._filled :]

    def received(self, count: int) -> list[M]:
        """The messages that are complete, now that `count` bytes more are in `space`.

        Raises:
            WireError: The bytes are no message.
        """
        self._filled += count
        if self._large is not None:
            if self._filled < len(self._large):
                return []
            whole, self._large, self._filled = self._large, None, 0
            return [self._message(whole)]
        found: list[M] = []
        at, end = 0, self._filled
        while (size := self._size(self._small[at:end])) and size <= end - at:
            found.append(self._message(memoryview(bytearray(self._small[at : at + size]))))
            at += size
        left = end - at
        if size:  # the rest of this frame is received where it stays
            self._large = memoryview(np.empty(size, np.uint8).data)
            self._large[:left] = self._small[at:end]
        else:
            self._small[:left] = bytes(self._small[at:end])
        self._filled = left
        return found

    def _size(self, begun: memoryview) -> int:
        """Bytes of the frame that begins here; 0 while its prefix is not complete."""
        if len(begun) < PREFIX.size:
            return 0
        header, buffers = PREFIX.unpack_from(begun)
        prefix = PREFIX.size + SIZE.size * buffers
        if buffers > MAX_BUFFERS or header > self._max_bytes:
            raise WireError(f"a message with a header of {header} bytes and {buffers} arrays")
        if len(begun) < prefix:
            return 0
        sizes = [prefix, header, *(size for (size,) in SIZE.iter_unpack(begun[PREFIX.size : prefix]))]
        if (total := sum(map(_aligned, sizes))) > self._max_bytes:
            raise WireError(f"a message of {total} bytes; the limit is {self._max_bytes}")
        return total

    def _message(self, frame: memoryview) -> M:
        size, buffers = PREFIX.unpack_from(frame)
        prefix = PREFIX.size + SIZE.size * buffers
        header = at = _aligned(prefix)
        at += _aligned(size)
        self._buffers = []
        for (length,) in SIZE.iter_unpack(frame[PREFIX.size : prefix]):
            self._buffers.append(frame[at : at + length])
            at += _aligned(length)
        try:
            return self._decode(frame[header : header + size])
        except WireError:
            raise
        except Exception as error:  # the header may be anything
            raise WireError(f"a message that cannot be read: {type(error).__name__}: {error}") from error
        finally:
            self._buffers = []

    def _value(self, code: int, data: memoryview) -> Any:
        if code == ARRAY:
            number, dtype, shape = msgspec.msgpack.decode(data, type=tuple[int, str, tuple[int, ...]])
            kind = np.dtype(dtype)
            if (
                kind.kind not in NUMERIC
                or min(number, *shape, 0) < 0
                or kind.itemsize * prod(shape) != len(self._buffers[number])
            ):
                raise WireError(f"an array of {dtype} in the shape {shape} that its bytes do not fit")
            return np.frombuffer(self._buffers[number], kind).reshape(shape)
        if code == BIG_INT and len(data) <= MAX_BIG_INT_BYTES:
            return int.from_bytes(data, "big", signed=True)
        if code == PICKLED and self._unpickles:
            first, count = RANGE.unpack_from(data)
            return pickle.loads(data[RANGE.size :], buffers=self._buffers[first : first + count])
        raise WireError(f"a value of the unknown type {code}")


def _aligned(size: int) -> int:
    return size + -size % ALIGN


def _padding(size: int) -> bytes:
    return bytes(-size % ALIGN)


def _big_ints_apart(value: Any) -> Any:
    """A copy of a message or value whose whole numbers beyond 64 bits are extensions."""
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return value
        return Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    if isinstance(value, dict):
        return {_big_ints_apart(name): _big_ints_apart(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_big_ints_apart(item) for item in value]
    if isinstance(value, msgspec.Struct):
        changed = {name: _big_ints_apart(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changed)
    return value
