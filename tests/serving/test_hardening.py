"""What models and callers do wrong, against the running service."""

import asyncio
import http.client
import json
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pyarrow.parquet as pq
import pytest

from mlops_lib.registry import Registry
from serving.web.api_keys import make
from tests.support.shop import ROW, add_pyfunc, answers, copy, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def naughty(shop, tmp_path_factory):
    """The service on a model that raises, hangs, exits or miscounts on request, with tight limits."""
    settings = copy(
        shop, tmp_path_factory.mktemp("naughty") / "project",
        poll_s=60.0, predict_timeout_s=2.0, request_timeout_s=6.0, queue_rows=8, body_bytes=20_000, challenger="",
    )  # fmt: skip
    add_pyfunc(settings, "naughty")
    with running(settings, MLFLOW_MODEL_NAME="naughty") as service:
        yield service


@pytest.mark.parametrize(
    ("x", "status", "code"),
    [
        (666, 500, "model_failed"),
        (7, 500, "model_failed"),
        (404, 500, "non_finite_prediction"),
        (99, 500, "wrong_prediction_count"),
        (13, 504, "model_timeout"),
    ],
)
def test_a_model_that_misbehaves_hurts_its_caller_alone(naughty, x, status, code):
    """Raising, exiting, NaN, a prediction too few, hanging: a clear error for one; those beside it are answered."""
    with ThreadPoolExecutor(9) as pool:
        bad = pool.submit(naughty.post, "/predict", {"x": x})
        good = [pool.submit(naughty.post, "/predict", {"x": n + 0.5}) for n in range(6)]
        said, problem = bad.result()
        assert [(s, body.get("predictions")) for s, body in (g.result() for g in good)] == [
            (200, n + 0.5) for n in range(6)
        ]
    assert (said, problem["code"]) == (status, code), problem
    assert "secret-value" not in str(problem) and "Traceback" not in str(problem)
    assert naughty.get("/livez")[0] == naughty.get("/readyz")[0] == 200


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(naughty):
    """While the model is busy and eight rows wait, the ninth gets 503 with Retry-After, before it is read."""
    host, port = naughty.url.removeprefix("http://").split(":")
    lines = [http.client.HTTPConnection(host, int(port), timeout=30) for _ in range(20)]
    for line in lines:
        line.connect()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(naughty.post, "/predict", {"x": 5})
        time.sleep(0.3)
        for line in lines:
            line.request("POST", "/predict", b'{"x": 1.5}')
        given = [line.getresponse() for line in lines]
        assert slow.result()[0] == 200
    assert Counter(answer.status for answer in given) == {200: 8, 503: 12}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in given if answer.status == 503)


def ask(service, body: bytes, **headers: str):
    """Status and headers of a POST to /predict."""
    answer = httpx.post(f"{service.url}/predict", content=body, headers=headers, timeout=30)
    return answer.status_code, answer.headers


def test_bodies_have_a_limit(naughty):
    """413 by its declared length, and by its real one when none is declared; the service goes on."""
    row = b'{"x": 1.5}'
    assert ask(naughty, row + b" " * 30_000)[0] == 413
    chunked = (row, *(b" " * 10_000 for _ in range(4)))
    assert httpx.post(f"{naughty.url}/predict", content=iter(chunked)).status_code == 413
    assert httpx.post(f"{naughty.url}/v2/models/naughty/infer", content=iter(chunked)).status_code == 413
    assert ask(naughty, row)[0] == 200


def test_a_body_that_never_ends_is_given_up(naughty):
    """A caller that sends half a body and waits gets 504 after serving.request_timeout_s."""
    host, port = naughty.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 504 and b"timed_out" in answer.read()


def test_every_answer_carries_security_headers_and_an_id(naughty):
    """Also errors, also routes that do not exist."""
    for path in ("/livez", "/nowhere", "/", "/metrics"):
        headers = httpx.get(naughty.url + path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store" and headers["x-request-id"]
    assert "script-src 'sha256-" in httpx.get(f"{naughty.url}/").headers["content-security-policy"]


def test_keys_open_what_they_should_and_rotate_without_a_restart(shop, tmp_path):
    """401 without one, 403 for admin routes with a caller's, 429 too fast; a changed file counts within seconds."""
    file = tmp_path / "keys.yaml"
    (ops, ops_line), (caller, caller_line), (slow, slow_line) = (
        make("ops", True),
        make("shop", False),
        make("slow", False),
    )
    file.write_text("\n".join([ops_line, caller_line, slow_line.replace("}", ", rate_per_s: 1}")]))
    settings = copy(shop, tmp_path / "project", api_keys=str(file))

    def bearer(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    with running(settings) as service:
        assert service.post("/predict", ROW)[0] == service.get("/status")[0] == 401
        assert service.post("/predict", ROW, **bearer("guess"))[0] == 401
        assert service.post("/predict", ROW, **bearer(caller))[0] == 200
        assert service.post("/predict", ROW, **{"X-API-Key": caller})[0] == 200
        assert service.post("/model/reload", {}, **bearer(caller))[0] == 403
        assert service.post("/model/reload", {}, **bearer(ops))[0] == 200
        assert service.get("/readyz")[0] == service.get("/metrics")[0] == service.get("/")[0] == 200
        asked = [service.post("/predict", ROW, **bearer(slow))[0] for _ in range(6)]
        assert 200 in asked and 429 in asked and set(asked) == {200, 429}
        renewed, renewed_line = make("shop", False)
        file.write_text(f"{ops_line}\n{renewed_line}")
        service.until(lambda: service.post("/predict", ROW, **bearer(renewed))[0] == 200)
        assert service.post("/predict", ROW, **bearer(caller))[0] == 401
        file.write_text("- {name: [")
        time.sleep(1.5)
        assert service.post("/predict", ROW, **bearer(renewed))[0] == 200, "a slip locked everybody out"
        log = service.log.read_text()
        assert not any(key in log for key in (ops, caller, slow, renewed))


@pytest.mark.parametrize("with_keys", [False, True], ids=["no keys", "keys"])
def test_keys_hold_under_a_root_path(shop, tmp_path, with_keys):
    """Behind `--root-path /api` admin routes are an admin's, probes everybody's, and predictions are at /predict."""
    file = tmp_path / "keys.yaml"
    (ops, ops_line), (caller, caller_line) = make("ops", True), make("shop", False)
    file.write_text(f"{ops_line}\n{caller_line}")
    settings = copy(shop, tmp_path / "project", **({"api_keys": str(file)} if with_keys else {}))
    with running(settings, "--root-path", "/api") as service:  # ready: the probe asks for no key
        assert service.post("/model/reload", {})[0] == (401 if with_keys else 403)
        assert service.post("/model/reload", {}, **{"X-API-Key": caller})[0] == 403
        assert service.post("/model/reload", {}, **{"X-API-Key": ops})[0] == (200 if with_keys else 403)
        assert service.post("/predict", ROW, **{"X-API-Key": caller})[0] == 200
        assert service.post("/predict", ROW)[0] == (401 if with_keys else 200)


def test_the_challenger_is_mirrored_and_answers_its_share(shop, tmp_path):
    """A share of entities, always the same ones, is answered by the challenger; the rest is mirrored to it."""
    log = tmp_path / "log"
    settings = copy(shop, tmp_path / "project", canary_share=0.5, prediction_log=str(log))
    Registry(settings)._client.set_registered_model_alias("shop", "challenger", "2")
    expected = {version: answers(settings, version) for version in (1, 2)}
    with running(settings) as service:
        service.until(lambda: "challenger" in service.get("/status")[1])
        rounds = []
        for _ in range(2):
            said = [service.post("/predict", {**ROW, "user_id": user})[1] for user in range(40)]
            assert all(
                each["predictions"] == pytest.approx(expected[each["model"]["version"]], abs=1e-6)
                for each in said
            )
            rounds.append([each["model"]["version"] for each in said])
        assert rounds[0] == rounds[1] and 8 <= rounds[0].count(2) <= 32

        def logged():
            rows = [
                row for file in log.glob("predictions-*.parquet") for row in pq.read_table(file).to_pylist()
            ]
            return Counter(row["role"] for row in rows)

        mirrored = 2 * rounds[0].count(1)
        service.until(
            lambda: logged() == {"champion": mirrored, "mirror": mirrored, "challenger": 80 - mirrored}, 30
        )


def test_memory_stays_flat_over_200_000_requests(shop, tmp_path):
    """Single rows, batches, good and bad mixed, 32 clients: less growth than 100 bytes a request would make."""
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

    async def client(host: str, port: int, number: int) -> None:
        """Sends the mix at once and reads its answers, again and again."""
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(number // len(mix)):
            writer.write(sent)
            for _, _, status in mix:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 %d" % status), head
                await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        writer.close()

    async def ask_many(url: str, number: int) -> None:
        host, port = url.removeprefix("http://").split(":")
        await asyncio.gather(*(client(host, int(port), number // 32) for _ in range(32)))

    with running(settings) as service:
        process = psutil.Process(service.process.pid)
        rss = []
        for _ in range(7):
            asyncio.run(ask_many(service.url, 40_000))
            rss.append(process.memory_info().rss)
    # The first 80,000 are the warm-up. Memory swings by what the log holds, so peaks then, troughs now.
    grown = min(rss[-2:]) - max(rss[:2])
    assert grown < 100 * 200_000 / 2, f"{grown / 2**20:.1f} MB for 200,000 requests"
