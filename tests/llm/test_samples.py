"""Identical calls of one row are samples: live, evaluated again and replayed, each in its place."""

import asyncio
import json

import httpx2
import pytest

from mlops_lib.llm.accounting.cassette import Cassette, Entry
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.llm.accounting.turns import one_row
from mlops_lib.llm.transport.call import Provider
from mlops_lib.llm.transport.metered import Metered

BODY = {"model": "toy", "temperature": 1, "messages": [{"role": "user", "content": "Which?"}]}


class Counting(httpx2.AsyncBaseTransport):
    """Answers 0, 1, 2, ...; the calls in `failing` (by number) with status 500."""

    def __init__(self, failing=()):
        self.calls, self.failing = 0, failing

    async def handle_async_request(self, request):
        number, self.calls = self.calls, self.calls + 1
        await asyncio.sleep(0)  # other rows go on
        status = 500 if number in self.failing else 200
        return httpx2.Response(status, json={"sample": number, "usage": {}}, request=request)


def ask_rows(cassette, server, rows, samples=5):
    """What each of some rows gets that ask the same prompt several times; rows run at once."""
    metered = Metered(Provider("openai", "", True, lambda _: server), 5.0, {})

    async def one():
        found = []
        with one_row():
            async with httpx2.AsyncClient(transport=metered) as client:
                for _ in range(samples):
                    answer = await client.post("http://vendor/v1/chat", json=BODY)
                    if answer.status_code == 500:
                        again = {"x-stainless-retry-count": "1"}
                        answer = await client.post("http://vendor/v1/chat", json=BODY, headers=again)
                    found.append(answer.json().get("sample"))
        return found

    async def every():
        with Ledger(cassette=cassette).open():
            return await asyncio.gather(*(one() for _ in range(rows)))

    return asyncio.run(every())


@pytest.mark.parametrize("rows", [1, 4])
def test_five_identical_calls_are_five_samples(rows):
    """Also when several rows ask at once: all have the samples that a replay gives them."""
    live = Cassette()
    first = ask_rows(live, Counting(), rows)
    assert all(len(set(samples)) == 5 for samples in first)
    for strict in (False, True):
        server = Counting()
        assert ask_rows(Cassette.parse(live.text(), strict), server, rows) == first
        assert server.calls == 0


def test_a_retry_is_no_further_sample():
    live = Cassette()
    assert ask_rows(live, Counting(failing=(0, 3)), 1, samples=3) == [[1, 2, 4]]
    assert sorted(turn for _, turn in live.used) == [0, 1, 2]
    assert ask_rows(Cassette.parse(live.text(), strict=True), Counting(), 1, samples=3) == [[1, 2, 4]]


def test_a_cassette_of_the_old_form_is_read():
    """Its one entry answers all identical calls of a replay, and the first one of a new evaluation."""
    live = Cassette()
    ask_rows(live, Counting(), 1, samples=1)
    old = json.loads(live.text().splitlines()[0])
    del old["turn"]
    text = json.dumps(old) + "\n"
    assert ask_rows(Cassette.parse(text, strict=True), Counting(), 1, samples=3) == [[0, 0, 0]]
    server = Counting()
    ask_rows(Cassette.parse(text), server, 1, samples=3)
    assert server.calls == 2


def test_more_calls_than_recorded_are_misses():
    live = Cassette()
    ask_rows(live, Counting(), 1, samples=2)
    replay = Cassette.parse(live.text(), strict=True)
    assert ask_rows(replay, Counting(), 1, samples=3) == [[0, 1, None]] and replay.misses == 1


def test_entries_of_a_failed_evaluation_join_the_known_ones():
    known = Entry("a", "vendor", 200, "{}", turn=0)
    cassette = Cassette(known={("a", 0): known})
    cassette.keep(Entry("b", "vendor", 200, "{}", turn=0))
    assert len(cassette.text().splitlines()) == 1 and len(cassette.text(all_known=True).splitlines()) == 2
