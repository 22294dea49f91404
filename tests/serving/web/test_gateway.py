"""What the gateway does with every request: over sockets, and in this process on a toy model."""

import asyncio
import http.client
import logging
import socket
from collections import Counter

import httpx
import pytest

from serving.web import gateway
from serving.web.api_keys import make
from serving.web.failures import Failures
from tests.support.toy_service import Caller, Toy, toy_service
from tests.support.waiting import LIMIT_S, until_async


def in_process(tmp_path, test, waits=True, **serving):
    """Run a test's coroutine with the application and its model."""

    async def main():
        toy = Toy(waits)
        async with toy_service(tmp_path, toy, **serving) as app:
            await test(app, toy)

    asyncio.run(main())


def test_a_full_queue_refuses_at_once_and_the_others_are_answered(tmp_path):
    """While the model is busy and eight rows wait, twelve more get 503; the eight are answered in the end."""

    async def test(app, toy):
        toy.gate.clear()
        busy = asyncio.create_task(Caller(app, "/predict", {"x": 1.0})())
        await until_async(lambda: toy.asked, "the model is busy")
        tasks = [asyncio.create_task(Caller(app, "/predict", {"x": 2.0})()) for _ in range(20)]
        await until_async(lambda: sum(task.done() for task in tasks) == 12, "twelve are refused")
        toy.gate.set()
        assert Counter([(await task).status for task in (*tasks, busy)]) == {200: 9, 503: 12}

    in_process(tmp_path, test, waits=False, queue_rows=8)


def test_every_answer_carries_security_headers_and_an_id(tmp_path):
    """Also errors, also routes that do not exist."""

    async def test(app, toy):
        for path in ("/livez", "/nowhere", "/", "/metrics"):
            headers = (await Caller(app, path, b"", method="GET")()).headers
            assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
            assert headers["x-request-id"]
        page = await Caller(app, "/", b"", method="GET")()
        assert "script-src 'self';" in page.headers["content-security-policy"]

    in_process(tmp_path, test)


def test_paths_and_methods_that_are_not_there_are_problems_too(tmp_path):
    """One form of error everywhere; a wrong method is told the right one."""

    async def test(app, toy):
        for path, status in (("/nowhere", 404), ("/predict", 405), ("/feedback", 405)):
            answer = await Caller(app, path, b"", method="GET")()
            assert answer.status == status and answer.json["code"] and answer.json["request_id"]
            assert answer.headers.get("allow") == ("POST" if status == 405 else None)

    in_process(tmp_path, test)


def test_failures_are_logged_with_their_code_and_version(tmp_path, caplog, monkeypatch):
    """By the protocols' routes, FastAPI's and the gateway itself."""
    monkeypatch.setattr(logging.getLogger("serving"), "propagate", True)
    monkeypatch.setattr(gateway, "failures", Failures())
    caplog.set_level(logging.INFO, "serving")

    async def test(app, toy):
        for path in ("/predict", "/feedback", "/nowhere", "/v1/chat/completions"):
            await Caller(app, path, b"{}")()
        await Caller(app, "/predict", {"x": 666})()

    in_process(tmp_path, test)
    found = [
        (each.route, each.status, each.error, getattr(each, "version", None))
        for each in caplog.records
        if hasattr(each, "route")
    ]
    assert found == [
        ("/predict", 422, "invalid_input", 1),
        ("/feedback", 409, "no_prediction_log", None),
        ("other", 404, "not_found", None),
        ("/v1/chat/completions", 422, "invalid_input", 1),
        ("/predict", 500, "model_failed", 1),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/completions/"),
        ("GET", "/v1/files/7/content"),
    ],
)
def test_paths_of_openai_that_are_not_there_are_errors_in_its_form(tmp_path, method, path):
    """Its clients read the message from `error`."""

    async def test(app, toy):
        answer = await Caller(app, path, {"input": "a"}, method=method)()
        error = answer.json["error"]
        assert (answer.status, error["code"]) == (404, "not_found")
        assert path in error["message"] and error["type"] == "invalid_request_error"
        assert "POST /v1/chat/completions" in error["message"]

    in_process(tmp_path, test)


def test_head_is_answered_like_get(tmp_path):
    """On probes and every other route for GET; the server leaves the body out. A path for POST has no HEAD."""

    async def test(app, toy):
        for path in ("/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready", "/metrics", "/"):
            head, got = [await Caller(app, path, b"", method=method)() for method in ("HEAD", "GET")]
            assert head.status == got.status == 200, path
            assert head.headers["content-type"] == got.headers["content-type"]
        refused = await Caller(app, "/predict", b"", method="HEAD")()
        assert (refused.status, refused.headers["allow"]) == (405, "POST")
        assert (await Caller(app, "/nowhere", b"", method="HEAD")()).status == 404

    in_process(tmp_path, test)


def test_a_request_without_a_body_times_out_for_its_answer(tmp_path):
    """504, as a caller who sends no body cannot be late with it."""
    (key, line), file = make("ops", admin=True), tmp_path / "keys.yaml"
    file.write_text(f"{line}\n", encoding="utf-8")

    async def test(app, toy):
        async def look(at_once):
            await asyncio.Event().wait()

        app.state.service.models.look = look
        answer = await Caller(app, "/model/reload", b"", x_api_key=key)()
        assert (answer.status, answer.json["code"]) == (504, "timed_out")

    in_process(tmp_path, test, request_timeout_s=0.5, api_keys=str(file))


PREFLIGHT = {"origin": "https://shop.example", "access_control_request_method": "POST"}


def test_pages_of_other_origins_may_call_where_the_settings_say_so(tmp_path):
    """Preflights without a key, and a header on each answer, errors included; other origins get none."""

    async def test(app, toy):
        asked = PREFLIGHT | {"access_control_request_headers": "authorization, content-type"}
        preflight = await Caller(app, "/predict", b"", method="OPTIONS", **asked)()
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        for body, status in (({"x": 1.0}, 200), ({"x": "one"}, 422)):
            answer = await Caller(app, "/predict", body, origin="https://shop.example")()
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        other = await Caller(app, "/predict", {"x": 1.0}, origin="https://evil.example")()
        assert other.status == 200 and "access-control-allow-origin" not in other.headers

    in_process(tmp_path, test, cors_origins=["https://shop.example"])


def test_no_page_of_another_origin_may_call_by_default(tmp_path):
    """No header, and no answer to a preflight."""

    async def test(app, toy):
        preflight = await Caller(app, "/predict", b"", method="OPTIONS", **PREFLIGHT)()
        answer = await Caller(app, "/predict", {"x": 1.0}, origin="https://shop.example")()
        assert (preflight.status, answer.status) == (405, 200)
        assert not [
            name for name in (preflight.headers | answer.headers) if name.startswith("access-control")
        ]

    in_process(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/predict", b"x\n1.5\n", "text/csv", 415),
        ("/invoke", b"<x/>", "application/xml; charset=utf-8", 415),
        ("/v2/models/toy/infer", b"--b\r\n", "multipart/form-data; boundary=b", 415),
        ("/v1/chat/completions", b"a: 1", "application/yaml", 415),
        ("/feedback", b"request_id,outcome\n7,1\n", "text/csv", 415),
        ("/feedback", b"request_id,outcome\n7,1\n", "application/json", 400),
        ("/predict", b"x\n1.5\n", "application/json", 400),
        ("/predict", b"x\n1.5\n", "application/vnd.shop+json", 400),
        ("/predict", b"x=1.5", "application/x-www-form-urlencoded", 400),
        ("/predict", b'{"x": 1.5}', "application/x-www-form-urlencoded", 200),
        ("/predict", b'{"x": 1.5}', "text/csv", 200),
    ],
)
def test_a_body_of_another_type_than_json_is_told_so(tmp_path, path, body, kind, status):
    """415 where the declared type explains why the body is no JSON; JSON is read whatever is declared."""

    async def test(app, toy):
        answer = await Caller(app, path, body, content_type=kind)()
        assert answer.status == status, answer.body
        if status == 415:
            assert b"unsupported_media_type" in answer.body and kind.split(";")[0].encode() in answer.body

    in_process(tmp_path, test, prediction_log=str(tmp_path / "log"))


def ask(service, body: bytes, **headers: str):
    """Status and headers of a POST to /predict."""
    answer = httpx.post(f"{service.url}/predict", content=body, headers=headers, timeout=LIMIT_S)
    return answer.status_code, answer.headers


@pytest.mark.slow
def test_bodies_have_a_limit(naughty):
    """413 by its declared length, and by its real one when none is declared; the service goes on."""
    row = b'{"x": 1.5}'
    assert ask(naughty, row + b" " * 30_000)[0] == 413
    chunked = (row, *(b" " * 10_000 for _ in range(4)))
    assert httpx.post(f"{naughty.url}/predict", content=iter(chunked), timeout=LIMIT_S).status_code == 413
    assert (
        httpx.post(
            f"{naughty.url}/v2/models/naughty/infer", content=iter(chunked), timeout=LIMIT_S
        ).status_code
        == 413
    )
    assert ask(naughty, row)[0] == 200


@pytest.mark.slow
def test_a_body_that_never_ends_is_given_up(naughty):
    """A caller that sends half a body and waits gets 408 after serving.request_timeout_s."""
    host, port = naughty.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 408 and b"body_timed_out" in answer.read()
