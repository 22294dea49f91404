"""Callers with keys of their own, hostile ones among them, against a served graph and a vendor that repeats its key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow.parquet as pq
import pytest

from serving.web.api_keys import make
from tests.serving.protocols.test_llm import ask, chatty, service
from tests.support.llm_fixtures import KEY, Vendor, files_with
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.slow
CALLS = 40
STREAM = {"Accept": "text/event-stream"}


class Place(NamedTuple):
    """A config file, and the keys of the callers `a`, `b` and `poor`."""

    file: Path
    keys: dict[str, str]

    @property
    def log(self) -> Path:
        return self.file.with_name("service.log")

    def client(self, url: str, name: str) -> httpx.Client:
        """A client with a caller's key."""
        return httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {self.keys[name]}"}, timeout=LIMIT_S
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, vendor_process: Vendor) -> Place:
    folder = tmp_path_factory.mktemp("callers")
    made = {name: make(name, admin=False) for name in ("a", "b", "poor")}
    (folder / "keys.yaml").write_text("\n".join(line for _, line in made.values()))
    file = chatty(
        folder,
        tracing=True,
        api_keys="keys.yaml",
        prediction_log="log",
        budget={"period": "month", "key_calls": CALLS},  # a day ends while tests run
        poll_s=60.0,
    )
    return Place(file, {name: key for name, (key, _) in made.items()})


@pytest.fixture(scope="module")
def url(place: Place, vendor_process: Vendor) -> Iterator[str]:
    with service(place.file, vendor_process, place.log) as address:
        yield address


def invoke(client: httpx.Client, stream: bool = False, **row: Any) -> httpx.Response:
    """Answer one row."""
    return client.post("/invoke", json={"inputs": row}, headers=STREAM if stream else {})


def chat(client: httpx.Client, stream: bool = False, **fields: Any) -> httpx.Response:
    """Answer one chat."""
    return client.post("/v1/chat/completions", json={"messages": ask("hi"), "stream": stream, **fields})


def test_a_thread_is_its_keys(place: Place, url: str, vendor: Vendor) -> None:
    """Another key gets 403 on each protocol, plain and streamed; the owner goes on."""
    with place.client(url, "a") as owner, place.client(url, "b") as other:
        assert invoke(owner, question="hi", thread_id="t").status_code == 200
        for stream in (False, True):
            for refused in (
                invoke(other, stream, question="hi", thread_id="t"),
                chat(other, stream, thread_id="t"),
            ):
                assert refused.status_code == 403 and "foreign_thread" in refused.text, refused.text
        body = {"inputs": {"thread_id": "t", "resume": "yes"}}
        assert other.post("/invoke", json=body).status_code == 403
        assert other.delete("/threads", params={"thread_id": "t"}).status_code == 403
        assert invoke(owner, question="again", thread_id="t").json()["predictions"].endswith("(turn 2)")


def test_feedback_is_for_ones_own_requests(place: Place, url: str, vendor: Vendor) -> None:
    """202 for a request of the same key, plain, streamed or with an id of the caller's; 404 for all others."""
    with place.client(url, "a") as owner, place.client(url, "b") as other:
        ids = [
            invoke(owner, question="hi").json()["request_id"],
            invoke(owner, True, question="x").headers["x-request-id"],
        ]
        owner.post("/invoke", json={"inputs": [{"question": "x"}]}, headers={"X-Request-ID": "my-own-id"})
        for request_id in [*ids, "my-own-id"]:
            sent = {"request_id": request_id, "outcome": 1, "row": 0}
            assert other.post("/feedback", json=sent).status_code == 404
            assert owner.post("/feedback", json=sent).status_code == 202, request_id
        for sent, status in (
            ({"request_id": "nobody's", "outcome": 1}, 404),
            ({"request_id": ids[0], "outcome": 1, "row": 1}, 422),
            ({"request_id": "x" * 129, "outcome": 1}, 422),
            ({"request_id": "", "outcome": 1}, 422),
            ({"request_id": ids[0], "outcome": "x" * 70_000}, 413),
        ):
            assert owner.post("/feedback", json=sent).status_code == status, sent
        # Two callers may choose the same id; each rates its own request.
        assert other.post(
            "/invoke", json={"inputs": [{"question": "x"}]}, headers={"X-Request-ID": "my-own-id"}
        ).is_success
        assert other.post("/feedback", json={"request_id": "my-own-id", "outcome": 0}).status_code == 202


def test_rows_count_against_the_budget_before_they_are_sent(place: Place, url: str, vendor: Vendor) -> None:
    """More rows than calls are left: 429 with Retry-After and without a call, in each protocol's own form."""
    rows = {"inputs": [{"question": "x"}] * (CALLS - 1)}
    with place.client(url, "poor") as poor, place.client(url, "a") as other:
        assert poor.post("/invoke", json=rows).status_code == 200
        before = vendor.stats["calls"]
        refused = poor.post("/invoke", json={"inputs": [{"question": "x"}] * 2})
        assert refused.status_code == 429 and refused.json()["code"] == "budget_exceeded"
        assert (
            int(refused.headers["retry-after"]) <= 31 * 86_400 + 1 and "key_calls" in refused.json()["detail"]
        )
        assert chat(poor).status_code == 200
        import openai

        client = openai.OpenAI(base_url=f"{url}/v1", api_key=place.keys["poor"])
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError, match="key_calls"):
                client.chat.completions.create(model="chatty", messages=ask("hi"), stream=stream)  # type: ignore[call-overload]
        assert invoke(poor, True, question="x").status_code == 429
        assert vendor.stats["calls"] == before + 1
        assert invoke(other, question="x").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "code", "after_s"),
    [("retry_after", 429, "llm_rate_limited", "1"), ("quota", 503, "llm_quota_exceeded", "60")],
)
def test_a_vendors_refusal_reaches_the_caller(
    place: Place, url: str, vendor: Vendor, kind: str, status: int, code: str, after_s: str
) -> None:
    """429 or 503 with Retry-After, plain and streamed."""
    vendor.control(faults=[{"kind": kind, "times": -1}])
    with place.client(url, "b") as client:
        for answer in (
            invoke(client, question="x"),
            invoke(client, True, question="x"),
            chat(client),
            chat(client, True),
        ):
            # A graph's first event may come before its call of the vendor: then the status is out, and an event has it.
            began = answer.headers["content-type"].startswith("text/event-stream")
            assert code in answer.text and answer.status_code == (200 if began else status), answer.text
            assert began or answer.headers["retry-after"] == after_s


def test_no_key_is_written_or_answered(place: Place, vendor: Vendor) -> None:
    """The vendor repeats its key in a 401 on each path: it is in no answer, log, trace, table, notebook or file."""
    vendor.control(faults=[{"kind": "401", "times": -1}])
    with service(place.file, vendor, place.log) as url:
        answers = []
        for name in ("a", "b"):
            with place.client(url, name) as client:
                for stream in (False, True):
                    answers += [invoke(client, stream, question=f"{name} {stream}"), chat(client, stream)]
                    answers += [
                        invoke(client, stream, question="x", thread_id=f"leak {name}"),
                        chat(client, stream, thread_id="x"),
                    ]
                answers.append(client.post("/invocations", json={"dataframe_records": [{"question": "x"}]}))
                answers.append(client.get("/metrics"))
    assert all(KEY not in answer.text and KEY not in str(answer.headers) for answer in answers)
    assert sum("Incorrect API key" in answer.text for answer in answers) >= 8
    assert "Incorrect API key provided: Bearer ***" in place.log.read_text()
    folder = place.file.parent
    assert files_with(folder, KEY) == [] and files_with(folder, place.keys["a"]) == []
    for file in folder.glob("log/*.parquet"):
        assert KEY not in json.dumps(pq.read_table(file).to_pylist(), default=str)
    assert [one for one in files_with(folder, "Incorrect API key") if one.suffix == ".db"], (
        "no trace has the error"
    )


def test_owners_survive_a_restart(place: Place, vendor: Vendor) -> None:
    """A thread and a request of the first process are still the key's own in the second one."""
    own_id = {"X-Request-ID": "before-the-restart"}
    with service(place.file, vendor, place.log) as url:
        with place.client(url, "a") as owner:
            answer = owner.post(
                "/invoke", json={"inputs": {"question": "hi", "thread_id": "old"}}, headers=own_id
            )
            assert answer.status_code == 200, answer.text
        with place.client(url, "poor") as poor:
            while invoke(poor, question="x").status_code == 200:
                pass
    with (
        service(place.file, vendor, place.log) as url,
        place.client(url, "a") as owner,
        place.client(url, "b") as other,
    ):
        assert invoke(other, question="hi", thread_id="old").status_code == 403
        for client, status in ((other, 404), (owner, 202)):
            sent = {"request_id": own_id["X-Request-ID"], "outcome": 1}
            assert client.post("/feedback", json=sent).status_code == status
        with place.client(url, "poor") as poor:
            assert invoke(poor, question="x").status_code == 429
    rows = [
        row for file in place.file.parent.glob("log/predictions-*") for row in pq.read_table(file).to_pylist()
    ]
    assert {"a", "poor"} <= {row["key"] for row in rows}
