"""Compressed bodies: requests inflated up to the limit, answers deflated for callers who ask."""

import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest

from serving.web import compression
from serving.web.problems import Problem
from tests.support.toy_service import Caller, Toy, toy_service

ROW = json.dumps({"x": 2.0}).encode()


def zipped(data):
    """The same bytes at any time of day: the names of tests hold them, and each test process must find the same names."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data):
    """Deflate without zlib's header."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def answers(tmp_path, *calls, **serving):
    """The answers of the service to calls (path, body, headers)."""

    async def main():
        async with toy_service(tmp_path, Toy(False), **serving) as app:
            return [await Caller(app, path, body, **headers)() for path, body, headers in calls]

    return asyncio.run(main())


def test_a_compressed_body_is_read_like_a_plain_one(tmp_path):
    """gzip and deflate, in pieces too, on routes of the gateway and of FastAPI."""
    feedback = gzip.compress(json.dumps({"request_id": "a"}).encode())
    *found, told = answers(
        tmp_path,
        ("/predict", gzip.compress(ROW), {"content_encoding": "gzip"}),
        ("/predict", gzip.compress(ROW), {"content_encoding": "X-GZIP"}),
        ("/predict", zlib.compress(ROW), {"content_encoding": "deflate"}),
        ("/predict", raw_deflate(ROW), {"content_encoding": "deflate"}),
        ("/predict", ROW, {"content_encoding": "identity"}),
        (
            "/invocations",
            gzip.compress(b"x\n2.0\n"),
            {"content_encoding": "gzip", "content_type": "text/csv"},
        ),
        ("/predict", [gzip.compress(ROW)[:9], gzip.compress(ROW)[9:]], {"content_encoding": "gzip"}),
        ("/feedback", feedback, {"content_encoding": "gzip"}),
        prediction_log="log",
    )
    assert all(answer.status == 200 and b"4.0" in answer.body for answer in found), [a.body for a in found]
    assert told.status == 422 and "outcome" in told.json["detail"], "the body was read"


@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        (zipped(b" " * 2000 + ROW), "gzip", 413, "body_too_large"),
        (zlib.compress(b" " * 2000 + ROW), "deflate", 413, "body_too_large"),
        (zipped(ROW)[:-3], "gzip", 400, "invalid_encoding"),
        (zipped(ROW) + zipped(ROW), "gzip", 400, "invalid_encoding"),
        (ROW, "gzip", 400, "invalid_encoding"),
        (b"", "gzip", 400, "invalid_encoding"),
        (zlib.compress(ROW), "gzip", 400, "invalid_encoding"),
        (zipped(zipped(ROW)), "gzip, gzip", 415, "unsupported_encoding"),
        (ROW, "br", 415, "unsupported_encoding"),
        (ROW, "zstd", 415, "unsupported_encoding"),
    ],
)
def test_a_body_that_is_not_of_its_coding_is_refused(tmp_path, body, coding, status, code):
    """With a status of its own, and the codings that are known for one that is not."""
    (answer,) = answers(tmp_path, ("/predict", body, {"content_encoding": coding}), body_bytes=1000)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)


@pytest.mark.slow
def test_a_bomb_costs_no_more_memory_than_the_limit():
    """A gigabyte in a megabyte: inflating stops at the limit."""
    stream, block = zlib.compressobj(9), b"\0" * 2**20
    bomb = b"".join(stream.compress(block) for _ in range(256)) + stream.flush()
    tracemalloc.start()
    with pytest.raises(Problem, match="longer than 1048576 bytes"):
        asyncio.run(compression.inflated(bomb, b"deflate", 2**20))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < 2**20 and most < 8 * 2**20


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"br, deflate;q=0.5, gzip", b"deflate"),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"GZIP ; q=1.0", b"gzip"),
        (b"identity", b""),
        (b"gzip;q=0.000", b""),
        (b"*", b""),
        (b"", b""),
    ],
)
def test_the_coding_of_an_answer_is_one_that_the_caller_takes(accept, coding):
    """The first that is known; none for a quality of 0."""
    assert compression.wanted(accept) == coding


def test_long_answers_of_the_open_inference_protocol_are_compressed(tmp_path):
    """Short ones are not, and neither are answers of protocols whose clients accept gzip unasked."""

    def tensor(rows):
        return {"inputs": [{"name": "x", "shape": [rows], "datatype": "FP64", "data": [2.0] * rows}]}

    path, ask = "/v2/models/toy/infer", {"accept_encoding": "gzip, deflate"}
    long, short, other, unasked = answers(
        tmp_path,
        (path, tensor(1000), ask),
        (path, tensor(1), ask),
        ("/predict", {"inputs": [{"x": 2.0}] * 1000}, ask),
        (path, tensor(1000), {}),
    )
    assert long.headers["content-encoding"] == "gzip" and long.headers["vary"] == "accept-encoding"
    assert int(long.headers["content-length"]) == len(long.body)
    assert json.loads(gzip.decompress(long.body))["outputs"] == unasked.json["outputs"]
    assert not {"content-encoding"} & (short.headers.keys() | other.headers.keys() | unasked.headers.keys())
