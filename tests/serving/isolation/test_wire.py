"""Messages arrive as they were sent, in pieces of any size, and bytes that are no message are refused."""

import datetime
import pickle
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from mlops_lib.llm.accounting.usage import Usage
from serving.isolation import messages, wire

DATES = [
    datetime.datetime(2020, 1, 1),
    datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC),
    datetime.date(2020, 2, 29),
]


def to_process():
    """A writer of the gateway and the reader of a model process."""
    return wire.Writer(pickles=True), wire.Reader(messages.ToProcess, unpickles=True)


def to_gateway(**limits):
    """A writer of a model process and the reader of the gateway."""
    return wire.Writer(**limits), wire.Reader(messages.ToGateway, **limits)


def received(reader, data, piece=2**30):
    """The messages in `data`, which comes in pieces of at most `piece` bytes."""
    found, at = [], 0
    while at < len(data):
        space = reader.space()
        count = min(len(space), piece, len(data) - at)
        space[:count] = data[at : at + count]
        at += count
        found += reader.received(count)
    return found


def through(writer, reader, message, piece=2**30):
    """One message after its way over the wire."""
    (found,) = received(reader, b"".join(writer.frame(message)), piece)
    return found


def test_rows_keep_their_types():
    """A model gets the values that it would get in the gateway: tuples, dates, decimals, bytes, large integers, arrays."""
    row = (1, 2.5, None, True, "é\ud800", b"\xff\x00", 2**80, Decimal("1.10"), *DATES, float("nan"))
    rows = [row, {"naïve": [1, (2,)], 3: np.arange(6, dtype=">i2").reshape(2, 3)}]
    got = through(*to_process(), messages.Batch(7, wire.Exact([rows])))
    (back,) = got.jobs
    assert got.id == 7 and repr(back) == repr(rows)
    assert [type(value) for value in back[0]] == [type(value) for value in row]


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", ">i4", "f2", "f4", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (300, 300)])
@pytest.mark.parametrize("piece", [1000, 2**30])
def test_arrays_keep_type_and_shape(dtype, shape, piece):
    """An array of numbers is a view of the bytes that came, at an address that native code can use."""
    sent = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    got = through(*to_gateway(), messages.Answers(1, sent, [], {}, 0.0), piece).predictions
    assert got.dtype == sent.dtype.newbyteorder("<") and got.shape == shape and (got == sent).all()
    assert got.flags.aligned and got.flags.writeable


def test_an_array_is_not_copied_when_it_is_sent():
    """The frame of a large array has the array's own memory."""
    sent = np.zeros(10**6)
    parts = wire.Writer().frame(messages.Answers(1, sent, [], {}, 0.0))
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), sent) for part in parts)


def test_transposed_arrays_and_arrays_in_lists():
    """Arrays that are not contiguous arrive too, as do several in one message."""
    sent = [np.arange(6.0).reshape(2, 3).T, {"deep": np.arange(3)}]
    got = through(*to_gateway(), messages.Event(1, "update", sent)).data
    assert (got[0] == sent[0]).all() and (got[1]["deep"] == sent[1]["deep"]).all()


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 2**2000, {"a": [-(2**70), 1, 2**64 - 1]}])
def test_big_integers(value):
    """Whole numbers beyond msgpack's 64 bits arrive from the model too."""
    assert through(*to_gateway(), messages.Answer(1, value, [], Usage())).predictions == value


@pytest.mark.parametrize("piece", [1, 7, 4096, 2**30])
def test_pieces_of_any_size(piece):
    """Frames may be cut anywhere, and several may come at once: small ones, large ones, ones of exactly the buffer."""
    writer, reader = to_gateway()
    sizes = [0, 10, 10, 20_000, wire.SMALL_BYTES, 3, 70_000] if piece > 1 else [0, 10, 3000]
    sent = [messages.Event(number, "token", "x" * size) for number, size in enumerate(sizes)]
    assert received(reader, b"".join(b"".join(writer.frame(one)) for one in sent), piece) == sent


def test_a_large_batch():
    """10 MB arrive whole, in pieces as a socket gives them."""
    rows = [("x" * 1000, number) for number in range(10_000)]
    assert through(*to_process(), messages.Batch(1, wire.Exact([rows])), 200_000).jobs == [rows]


def test_a_model_process_cannot_make_the_gateway_unpickle():
    """A pickle from a model process is refused before it is read; one of its writers cannot even send it."""
    with pytest.raises(TypeError, match="Exact cannot be sent"):
        wire.Writer().frame(messages.Event(1, "update", wire.Exact(1)))
    evil = wire.Writer(pickles=True).frame(messages.Event(1, "update", wire.Exact(pickle.Pickler)))
    with pytest.raises(wire.WireError, match="unknown type 2"):
        received(wire.Reader(messages.ToGateway), b"".join(evil))


def test_a_message_of_many_arrays():
    """As a batch of several thousand rows with the tensors of images has it: in the rows, and one by one."""
    rows = [(number, np.full((1, 3, 5), number, np.float32)) for number in range(5_000)]
    (back,) = through(*to_process(), messages.Batch(1, wire.Exact([rows])), 100_000).jobs
    assert [row[1].max() for row in back] == [row[0] for row in rows]
    got = through(*to_gateway(), messages.Event(1, "update", [row[1] for row in rows])).data
    assert len(got) == 5_000 and (got[4_999] == 4_999).all()


def frame(header, data=b"", size=None):
    """A frame with any header, and any size of its data."""
    prefix = wire.PREFIX.pack(len(header), len(data) if size is None else size)
    return b"".join((prefix, header + bytes(-len(header) % wire.ALIGN), data))


def array(*about):
    """The header of an event with an array of this number, dtype and shape."""
    extension = msgspec.msgpack.Ext(wire.ARRAY, msgspec.msgpack.encode(about))
    return msgspec.msgpack.encode(["Event", 1, "update", extension])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        b"Traceback (most recent call last): something printed to the socket",
        frame(b""),
        frame(b"\xc1"),
        frame(msgspec.msgpack.encode(["Load", "/", "", None])),
        frame(msgspec.msgpack.encode(["Event", "1", "update", None])),
        frame(msgspec.msgpack.encode(["Event", 1, "exec", None])),
        frame(b"\x91" * 100_000 + b"\xc0"),
        frame(array(0, "<f8", (2,)), b"12345678"),
        frame(array(0, "<f8", (-1,)), b"12345678"),
        frame(array(-1, "<f8", (1,)), b"12345678"),
        frame(array(1, "<f8", (1,)), b"12345678" * 2),
        frame(array(16, "<f8", (1,)), b"12345678"),
        frame(array(0, "O", (1,)), b"12345678"),
        frame(array(0, "<f16", (1,)), b"12345678" * 2),
        frame(array(0, "nonsense", (1,)), b"12345678"),
        frame(array(0, "<f8", (2**40, 2**40, 0)), b"12345678"),
        frame(b"\xc0", size=2**63),
    ],
)  # fmt: skip
def test_garbage_is_refused(data):
    """Nothing but a message passes, and nothing large is reserved for a size that is only claimed."""
    with pytest.raises(wire.WireError):
        received(to_gateway()[1], data)


def test_sizes_are_limited_on_both_sides():
    """A message over the limit is neither sent nor received."""
    large = messages.Event(1, "token", "x" * 2000)
    with pytest.raises(wire.WireError, match="too many for one message"):
        to_gateway(max_bytes=1000)[0].frame(large)
    with pytest.raises(wire.WireError, match="a message of 20.. bytes"):
        received(to_gateway(max_bytes=1000)[1], b"".join(wire.Writer().frame(large)))
