"""The whole service over a long time."""

import asyncio
import json
import os
import re
from itertools import combinations, pairwise
from statistics import median

import pyarrow.parquet as pq
import pytest

from tests.support.shop import ROW, copy, running
from tests.support.waiting import until

pytestmark = pytest.mark.slow
#: Requests after the warm-up; `make soak` sends 200,000.
REQUESTS = int(os.environ.get("SOAK_REQUESTS", "40000"))


def test_memory_stays_flat_over_many_requests(shop, tmp_path):
    """Single rows, batches, good and bad mixed, 32 clients: memory grows by less than 20 MB."""
    import psutil

    settings = copy(shop, tmp_path / "project", poll_s=60.0, prediction_log=str(tmp_path / "log"))
    bad_row = {**ROW, "amount": "much"}
    mix = [
        ("/predict", ROW, 200), ("/predict", {"inputs": [ROW] * 8}, 200), ("/invocations", {"instances": [ROW]}, 200),
        ("/predict", {**ROW, "user_id": 7}, 200), ("/predict", {"inputs": [ROW, bad_row]}, 422),
        ("/predict", bad_row, 422), ("/invocations", {"instances": []}, 422), ("/predict", None, 400),
    ]  # fmt: skip
    sent = b"".join(
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
        for path, content, _ in mix
        for body in [json.dumps(content).encode() if content else b"{"]
    )

    expected = [status for _, _, status in mix]
    rounds = REQUESTS // 5 // 32 // len(mix)

    async def client(host: str, port: int) -> None:
        """Sends the mix at once and reads the status of each answer, again and again."""
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(rounds):
            writer.write(sent)
            said, statuses = b"", []
            while len(statuses) < len(mix):
                part = await reader.read(1 << 16)
                assert part, "the service closed the connection"
                said += part
                statuses = re.findall(rb"HTTP/1\.1 (\d{3})", said)
            assert [int(status) for status in statuses] == expected, said
        writer.close()

    async def ask_many(url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        await asyncio.gather(*(client(host, int(port)) for _ in range(32)))

    def logged() -> int:
        return sum(
            pq.read_metadata(file).num_rows for file in (tmp_path / "log").glob("predictions-*.parquet")
        )

    with running(settings) as service:
        process = psutil.Process(service.process.pid)
        rss = []
        for part in range(1, 8):
            asyncio.run(ask_many(service.url))
            answered = part * 32 * rounds * expected.count(200)
            until(lambda n=answered: logged() == n, "the log is written", lambda: str(logged()))
            rss.append(process.memory_info().rss)
    # The first two parts are the warm-up. A leak grows in each part, and from each part to all later ones. A reserve of Arrow
    # or malloc that grows once does not do the first, and one that is given back not the second.
    steps = [after - before for before, after in pairwise(rss[1:])]
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(rss[1:]), 2)]
    grown = 5 * min(median(steps), median(slopes))
    assert grown < 20e6, f"{grown / 2**20:.1f} MB for {REQUESTS:,} requests: {rss}"
