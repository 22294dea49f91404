"""Frames over a Unix socket: a header in msgpack, and arrays beside it, which are not copied into it.

A frame is ``u64 header bytes | u64 data bytes | header | data``. The header, the data and each array in the data
begin at a multiple of `ALIGN` bytes, so that arrays are views of the bytes that came. Numbers are little-endian. The
header is one message (a tagged Struct of `messages`), in which msgpack's extension types stand for:

1. an array of numbers: its place in the data, dtype, shape
2. a pickled value (`Exact`), and the places of the arrays in it. Only the gateway writes it, and only a model process reads it
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
#: Bytes of the header, and of the data.
PREFIX = struct.Struct("<QQ")
#: Largest frame.
MAX_BYTES = 2**28
MAX_BIG_INT_BYTES = 1024
#: A frame of at most this size is sent in one piece, and received into a buffer that is used again.
SMALL_BYTES = 2**16
#: Kinds of arrays that are sent as data: booleans, integers, floats.
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
        #: Arrays of the message and their padding, and their bytes.
        self._data: list[Part] = []
        self._data_bytes = 0
        self._encode = msgspec.msgpack.Encoder(enc_hook=self._extension).encode

    def frame(self, message: msgspec.Struct) -> list[Part]:
        """The pieces of a message's frame, to be sent in order.

        Raises:
            WireError: The frame or a whole number would be too large, or a value is nested too deeply.
            Exception: A value has no encoding.
        """
        self._data, self._data_bytes = [], 0
        try:
            header = self._encode(message)
        except OverflowError:
            self._data, self._data_bytes = [], 0
            header = self._encode(_big_ints_apart(message))
        except RecursionError:
            raise WireError("values are nested too deeply for one message") from None
        data, self._data = self._data, []
        parts = [PREFIX.pack(len(header), self._data_bytes), header + _padding(len(header)), *data]
        total = PREFIX.size + len(parts[1]) + self._data_bytes
        if total > self._max_bytes:
            raise WireError(f"{total} bytes are too many for one message; the limit is {self._max_bytes}")
        return [b"".join(parts)] if total <= SMALL_BYTES else parts

    def _extension(self, value: Any) -> Any:
        if isinstance(value, Exact) and self._pickles:
            places: list[tuple[int, int]] = []

            def add(buffer: pickle.PickleBuffer) -> None:
                raw = buffer.raw()
                places.append((self._placed(raw), raw.nbytes))

            pickled = pickle.dumps(value.value, 5, buffer_callback=add)
            return Ext(PICKLED, msgspec.msgpack.encode((places, pickled)))
        if isinstance(value, np.ndarray) and value.dtype.kind in NUMERIC and value.itemsize <= MAX_ITEM_BYTES:
            little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
            at = self._placed(little.reshape(-1).view(np.uint8).data)
            return Ext(ARRAY, msgspec.msgpack.encode((at, little.dtype.str, value.shape)))
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"A value of type {type(value).__name__} cannot be sent.")

    def _placed(self, array: memoryview) -> int:
        """Add the bytes of an array to the data; where they begin."""
        at = self._data_bytes
        self._data += [array, _padding(array.nbytes)]
        self._data_bytes += _aligned(array.nbytes)
        return at


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
        self._data = memoryview(b"")
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
        header, data = PREFIX.unpack_from(begun)
        if (total := int(PREFIX.size + _aligned(header) + data)) > self._max_bytes:
            raise WireError(f"a message of {total} bytes; the limit is {self._max_bytes}")
        return total

    def _message(self, frame: memoryview) -> M:
        size, _ = PREFIX.unpack_from(frame)
        header, data = PREFIX.size, PREFIX.size + _aligned(size)
        self._data = frame[data:]
        try:
            return self._decode(frame[header : header + size])
        except WireError:
            raise
        except Exception as error:  # the header may be anything
            raise WireError(f"a message that cannot be read: {type(error).__name__}: {error}") from error
        finally:
            self._data = memoryview(b"")

    def _value(self, code: int, data: memoryview) -> Any:
        if code == ARRAY:
            at, dtype, shape = msgspec.msgpack.decode(data, type=tuple[int, str, tuple[int, ...]])
            kind = np.dtype(dtype)
            end = at + kind.itemsize * prod(shape)
            is_number = kind.kind in NUMERIC and kind.itemsize <= MAX_ITEM_BYTES
            if not is_number or min(at, *shape, 0) < 0 or at % ALIGN or end > len(self._data):
                raise WireError(f"an array of {dtype} in the shape {shape} that its bytes do not fit")
            return np.frombuffer(self._data[at:end], kind).reshape(shape)
        if code == BIG_INT and len(data) <= MAX_BIG_INT_BYTES:
            return int.from_bytes(data, "big", signed=True)
        if code == PICKLED and self._unpickles:
            places, pickled = msgspec.msgpack.decode(data, type=tuple[list[tuple[int, int]], bytes])
            return pickle.loads(pickled, buffers=[self._data[at : at + size] for at, size in places])
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
        if (size := value.bit_length() // 8 + 1) > MAX_BIG_INT_BYTES:
            raise WireError(f"a whole number of {size} bytes is too large; the limit is {MAX_BIG_INT_BYTES}")
        return Ext(BIG_INT, value.to_bytes(size, "big", signed=True))
    if isinstance(value, dict):
        return {_big_ints_apart(name): _big_ints_apart(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_big_ints_apart(item) for item in value]
    if isinstance(value, msgspec.Struct):
        changed = {name: _big_ints_apart(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changed)
    return value
