"""Streams of MLflow's conversational models."""

import asyncio
import itertools
import threading

from mlops_lib.wrappers.pyfunc.streams import MAX_AHEAD, events
from tests.support.waiting import LIMIT_S


def test_a_stream_without_an_end_waits_and_ends_with_its_caller():
    """The model makes a few pieces ahead of its caller, and none once the caller has left."""
    made, closed = [], threading.Event()

    def chunks():
        try:
            for number in itertools.count():
                made.append(number)
                yield {"type": "response.output_text.delta", "delta": str(number)}
        finally:
            closed.set()

    async def main():
        stream = events(chunks)
        for number in range(3):
            assert (await anext(stream)).data == str(number)
        await stream.aclose()
        assert await asyncio.to_thread(closed.wait, LIMIT_S)

    asyncio.run(main())
    assert len(made) <= MAX_AHEAD + 5
