"""One request by itself."""

import asyncio
import time
from types import SimpleNamespace

from serving.web.call import Call

LIMITS = SimpleNamespace(body_bytes=2**30, request_timeout_s=60.0)


def test_a_body_in_many_pieces_is_put_together_once():
    """Eight times the pieces take about eight times as long, not sixty-four times."""

    service = SimpleNamespace(settings=SimpleNamespace(serving=LIMITS), body_bytes=0)

    def seconds(pieces: int) -> float:
        async def main() -> float:
            left = pieces

            async def receive():
                nonlocal left
                left -= 1
                return {"type": "http.request", "body": b"x" * 500, "more_body": left > 0}

            call = Call({"headers": [], "query_string": b""}, receive, None, service)
            began = time.process_time()
            assert await call.body() == b"x" * 500 * pieces
            return time.process_time() - began

        return asyncio.run(main())

    assert min(seconds(8_000) for _ in range(3)) < 24 * min(seconds(1_000) for _ in range(3))
