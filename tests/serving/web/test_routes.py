"""What holds for every inference route of the table alike, and for a protocol that a test adds to it."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from mlops_lib.wrappers.interface import StreamEvent
from serving.protocols.inference import Decoded, InferenceRoute
from serving.web import call, routes
from serving.web.api_keys import make
from serving.web.call import Reply
from tests.support.toy_service import Caller, Toy, toy_service
from tests.support.waiting import until_async

SHELF = "/toy/{shelf}"
TOY_PROTOCOL = SimpleNamespace(
    ROUTES=(
        InferenceRoute(
            path=SHELF,
            tag="toy",
            request={"application/json": {"schema": {"type": "number"}}},
            decode=lambda call, body, model: Decoded(model.schema.convert([{"x": json.loads(body)}])),
            encode=lambda call, decoded, answered: Reply(
                json.dumps([call.params["shelf"], *answered.predictions]).encode()
            ),
        ),
    )
)


def tensor(x: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}]}


#: For each inference route its path and the body that asks for `x`. A new route of the table needs a line here.
REQUESTS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "/predict": ("/predict", lambda x: {"inputs": {"x": x}}),
    "/invoke": ("/invoke", lambda x: {"inputs": {"x": x}}),
    "/invocations": ("/invocations", lambda x: {"instances": [{"x": x}]}),
    "/v1/chat/completions": (
        "/v1/chat/completions",
        lambda x: {"messages": [{"role": "user", "content": str(x)}]},
    ),
    "/v2/models/{name}/infer": ("/v2/models/toy/infer", tensor),
    "/v2/models/{name}/versions/{version}/infer": ("/v2/models/toy/versions/1/infer", tensor),
    SHELF: ("/toy/low", lambda x: x),
}
#: Routes whose own errors have the form of their protocol; refusals by the gateway are problem objects there too.
OWN_ERRORS = {"/v1/chat/completions"}
every_route = pytest.mark.parametrize("route", REQUESTS)


@pytest.fixture(autouse=True)
def toy_protocol(monkeypatch):
    """The toy protocol in the table: one line."""
    monkeypatch.setattr(routes, "PROTOCOLS", [*routes.PROTOCOLS, TOY_PROTOCOL])


@pytest.fixture
def run(tmp_path):
    """Run a test's coroutine with a service that has some settings, and its model."""

    def run(test: Callable[[Any, Toy], Awaitable[None]], waits: bool = True, **serving: Any) -> None:
        async def main() -> None:
            toy = Toy(waits)
            async with toy_service(tmp_path, toy, **serving) as app:
                await test(app, toy)

        asyncio.run(main())

    return run


def ask(app: Any, route: str, x: float = 2.0, **headers: str) -> Caller:
    """A request for `x` in the protocol of a route."""
    path, body = REQUESTS[route]
    return Caller(app, path, body(x), **headers)


def code_of(caller: Caller, own_form: bool = False) -> str:
    """The code of a problem, in the form that the caller's protocol has for it."""
    assert caller.headers["x-request-id"] and "Traceback" not in caller.body.decode()
    if own_form:
        return caller.json["error"]["code"]
    assert caller.headers["content-type"] == "application/problem+json"
    problem = caller.json
    assert problem["status"] == caller.status and problem["detail"]
    assert problem["request_id"] == caller.headers["x-request-id"]
    return problem["code"]


def requests_of(app: Any, route: str, status: int) -> float:
    """How many requests of a route /metrics counts with a status."""
    text = app.state.service.metrics.exposition().decode()
    series = f'mlops_serving_requests_total{{route="{route}",status="{status}"}} '
    return sum(float(line.removeprefix(series)) for line in text.splitlines() if line.startswith(series))


def test_each_inference_route_of_the_table_is_tested_here():
    """A new protocol without a line in `REQUESTS` would be in none of these tests."""
    asked = {route.path for route in routes.route_table().routes if isinstance(route, InferenceRoute)}
    assert asked == set(REQUESTS)


@every_route
def test_it_answers_is_counted_and_is_described(run, route):
    """A prediction, counted under the path's template, which OpenAPI has with a body and an answer."""

    async def test(app, toy):
        caller = await ask(app, route)()
        assert caller.status == 200 and "4.0" in caller.body.decode(), caller.body
        assert requests_of(app, route, 200) == 1
        operation = app.openapi()["paths"][route]["post"]
        assert operation["requestBody"]["content"] and operation["responses"]["200"]["content"]
        names = [each["name"] for each in operation.get("parameters", ()) if each["required"]]
        assert names == [part[1:-1] for part in route.split("/") if part.startswith("{")]

    run(test)


@every_route
def test_its_request_id_is_given_back_or_made(run, route):
    """The caller's own id, else a new one for each request."""

    async def test(app, toy):
        own = await ask(app, route, x_request_id="order-7")()
        made = [(await ask(app, route)()).headers["x-request-id"] for _ in range(2)]
        assert own.headers["x-request-id"] == "order-7" and len({"order-7", *made}) == 3

    run(test)


@every_route
def test_a_caller_who_leaves_cancels_the_work(run, route):
    """The model's work ends while it waits, and the request is counted as the caller's doing."""

    async def test(app, toy):
        toy.gate.clear()
        caller = ask(app, route)
        task = asyncio.create_task(caller())
        await until_async(lambda: toy.asked, "the model is asked")
        caller.leave()
        await task
        assert toy.cancelled == 1 and requests_of(app, route, 499) == 1
        assert app.state.service.models.current().queued_rows == 0

    run(test)


@every_route
def test_rows_of_a_caller_who_has_left_are_not_computed(run, route):
    """A model that is called in batches never gets the rows that waited when their caller left."""

    async def test(app, toy):
        toy.gate.clear()
        busy = asyncio.create_task(ask(app, route, 1.0)())
        await until_async(lambda: toy.asked, "the model is busy")
        caller = ask(app, route, 3.0)
        leaving = asyncio.create_task(caller())
        await until_async(lambda: app.state.service.models.current().queued_rows, "the rows wait")
        caller.leave()
        await leaving
        toy.gate.set()
        assert (await busy).status == 200
        assert (await ask(app, route, 4.0)()).status == 200
        assert toy.asked == [1.0, 4.0]

    run(test, waits=False)


@every_route
def test_a_body_may_not_be_too_long(run, route):
    """413 by the declared length before a byte is read, and by the real length when none is declared."""

    async def test(app, toy):
        declared = ask(app, route, content_length="5000")
        await declared()
        assert (declared.status, code_of(declared), declared.read) == (413, "body_too_large", False)
        path, body = REQUESTS[route]
        pieces = [json.dumps(body(2.0)).encode(), b" " * 3000, b" " * 3000]
        chunked = await Caller(app, path, pieces)()
        assert (chunked.status, code_of(chunked, route in OWN_ERRORS)) == (413, "body_too_large")
        assert not toy.asked

    run(test, body_bytes=4000)


@every_route
def test_a_full_queue_refuses_before_the_body_is_read(run, route):
    """503 with Retry-After while the only place is taken; then there is room again."""

    async def test(app, toy):
        toy.gate.clear()
        first = asyncio.create_task(ask(app, route)())
        await until_async(lambda: toy.asked, "the model is asked")
        refused = await ask(app, route)()
        assert (refused.status, code_of(refused, route in OWN_ERRORS)) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0 and not refused.read
        toy.gate.set()
        assert (await first).status == 200 == (await ask(app, route)()).status

    run(test, queue_rows=1)


def test_bodies_in_flight_are_bounded_in_bytes(run, monkeypatch):
    """503 with Retry-After for a body beyond what all requests may hold, compressed or not; then there is room again."""
    monkeypatch.setattr(call, "MAX_BODIES", 1)
    padded = json.dumps({"x": 2.0}).encode() + b" " * 2500

    async def test(app, toy):
        toy.gate.clear()
        first = asyncio.create_task(Caller(app, "/predict", padded)())
        await until_async(lambda: toy.asked, "the model is asked")
        for body, headers in ((padded, {}), (gzip.compress(padded), {"content_encoding": "gzip"})):
            refused = await Caller(app, "/predict", body, **headers)()
            assert (refused.status, code_of(refused)) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
        toy.gate.set()
        assert (await first).status == 200 == (await Caller(app, "/predict", padded)()).status

    run(test, body_bytes=4000)


@every_route
def test_a_request_that_takes_too_long_is_cancelled(run, route):
    """504 after serving.request_timeout_s, and the model's work has ended."""

    async def test(app, toy):
        toy.gate.clear()
        caller = await ask(app, route)()
        assert (caller.status, code_of(caller)) == (504, "timed_out") and toy.cancelled == 1

    run(test, request_timeout_s=1.0)


class Breaking(Toy):
    """Fails after the first event of a stream."""

    async def astream(self, row):
        yield StreamEvent("token", "half")
        raise ValueError("a secret")


def test_a_stream_that_breaks_is_logged_with_its_code(tmp_path, caplog):
    """Its status is 200, so only the code tells."""
    caplog.set_level(logging.INFO, "serving")

    async def main():
        async with toy_service(tmp_path, Breaking()) as app:
            events = await Caller(app, "/predict", {"x": 1.0}, accept="text/event-stream")()
            assert events.status == 200 and b"half" in events.body and b"model_failed" in events.body

    asyncio.run(main())
    (failed,) = [record for record in caplog.records if record.message == "request failed"]
    assert (failed.status, failed.error) == (200, "model_failed")


@every_route
def test_it_needs_a_key_and_keeps_to_the_keys_rate(run, route, tmp_path):
    """401 without a known key, 200 with one, 429 with Retry-After beyond the key's rate; refused unread."""
    key, line = make("shop", admin=False)
    (tmp_path / "keys.yaml").write_text(line.replace("}", ", rate_per_s: 0.001}"))

    async def test(app, toy):
        for headers in ({}, {"x_api_key": "guess"}):
            refused = await ask(app, route, **headers)()
            assert (refused.status, code_of(refused), refused.read) == (401, "unknown_key", False)
        assert (await ask(app, route, authorization=f"Bearer {key}")()).status == 200
        fast = await ask(app, route, x_api_key=key)()
        assert (fast.status, code_of(fast)) == (429, "rate_limited") and int(fast.headers["retry-after"]) > 0

    run(test, api_keys="keys.yaml")


@every_route
def test_it_refuses_while_the_process_stops(run, route):
    """Answers close their connection while the service drains; then 503."""

    async def test(app, toy):
        service = app.state.service
        service.draining = True
        assert (await ask(app, route)()).headers["connection"] == "close"
        service.refusing = True
        refused = await ask(app, route)()
        assert (refused.status, code_of(refused)) == (503, "draining")

    run(test)


@every_route
def test_its_failures_are_problems(run, route):
    """A model that raises and a service without a model give a stable code, and no word of the exception."""

    async def test(app, toy):
        failed = await ask(app, route, 666.0)()
        assert (failed.status, code_of(failed, route in OWN_ERRORS)) == (500, "model_failed")
        assert "secret" not in failed.body.decode()
        del app.state.service.models.served["champion"]
        unready = await ask(app, route)()
        assert (unready.status, code_of(unready, route in OWN_ERRORS)) == (503, "model_not_ready")

    run(test)


@every_route
def test_another_method_is_named_as_wrong(run, route):
    """405 with the method that the path takes; a slash at its end makes no difference."""

    async def test(app, toy):
        path, body = REQUESTS[route]
        wrong = await Caller(app, path, b"", method="GET")()
        assert (wrong.status, code_of(wrong), wrong.headers["allow"]) == (405, "method_not_allowed", "POST")
        assert requests_of(app, route, 405) == 1
        assert (await Caller(app, f"{path}/", body(2.0))()).status == 200

    run(test)


def test_the_version_of_a_model_may_be_pinned_in_the_path_or_the_query(run):
    """A version that is not served gives 404, wherever it is named; the served one and none give predictions."""

    async def test(app, toy):
        model = "/v2/models/toy"
        for path, status in (
            (f"{model}/infer?version=1", 200), (f"{model}/infer?version=2", 404), (f"{model}/infer?other=2", 200),
            (f"{model}/versions/2/infer", 404), (f"{model}/versions/1/infer?version=2", 200),
        ):  # fmt: skip
            assert (await Caller(app, path, tensor(2.0))()).status == status, path
        (name, version) = app.openapi()["paths"]["/v2/models/{name}/infer"]["post"]["parameters"]
        assert (name["in"], version["in"], version["schema"]["enum"]) == ("path", "query", ["1"])

    run(test)


@pytest.mark.parametrize("path", ["/predict", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_vendors_refusal_is_the_status_of_the_answer(run, path, stream):
    """Plain and streamed: 429 with Retry-After, because a stream's answer begins with its first event."""

    async def test(app, toy):
        async def refuse(rows):
            import openai

            response = httpx2.Response(
                429, headers={"retry-after": "7"}, request=httpx2.Request("POST", "http://v")
            )
            raise openai.RateLimitError("slow down", response=response, body=None)

        toy.apredict = refuse
        chat = {"messages": [{"role": "user", "content": "2"}], "stream": stream}
        accept = {"accept": "text/event-stream"} if stream and path == "/predict" else {}
        body = chat if path.startswith("/v1") else {"inputs": {"x": 1.0}}
        caller = await Caller(app, path, body, **accept)()
        assert caller.status == 429 and caller.headers["retry-after"] == "7"
        assert "llm_rate_limited" in caller.body.decode()

    run(test)


def test_a_stream_without_an_event_in_time_is_refused(run):
    """The answer begins with the first event; without one the status says that it took longer than configured."""

    async def test(app, toy):
        toy.gate.clear()
        caller = await ask(app, "/predict", accept="text/event-stream")()
        assert caller.status == 504 and b'"code":"timed_out"' in caller.body
        assert b"1 s (serving.request_timeout_s)" in caller.body and toy.cancelled == 1

    run(test, request_timeout_s=1.0)


@pytest.mark.parametrize("waits", [True, False])
def test_a_streamed_chat_is_a_stream_whatever_the_model(run, waits):
    """A model that is called in batches gives the chunks of one answer, as a model that waits on others does."""

    async def test(app, toy):
        body = {
            "messages": [{"role": "user", "content": "2"}], "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        caller = await Caller(app, "/v1/chat/completions", body)()
        assert caller.headers["content-type"].startswith("text/event-stream")
        *chunks, last = [line.removeprefix("data: ") for line in caller.body.decode().split("\n\n") if line]
        told = [json.loads(chunk) for chunk in chunks]
        deltas = [choice["delta"].get("content") for chunk in told for choice in chunk["choices"]]
        assert deltas == ["", "4.0", None] and "total_tokens" in told[-1]["usage"] and last == "[DONE]"

    run(test, waits=waits)


def test_a_wrong_method_needs_the_key_that_the_path_needs(run, tmp_path):
    """Without a key: 405 on a probe's path, 401 on a path of inference or of admins."""
    _, line = make("shop", admin=False)
    (tmp_path / "keys.yaml").write_text(line)

    async def test(app, toy):
        for method, path, status in (
            ("PUT", "/livez", 405), ("POST", "/", 405), ("GET", "/predict", 401), ("GET", "/model/reload", 401),
        ):  # fmt: skip
            caller = await Caller(app, path, b"", method=method)()
            assert (caller.status, caller.headers.get("allow")) == (
                status,
                "GET, HEAD" if status == 405 else None,
            )

    run(test, api_keys="keys.yaml")


def test_paths_that_are_no_route_share_a_label(run):
    """A scanner makes no series of its own in /metrics; with a template, one segment is one value."""

    async def test(app, toy):
        for path in ("/no/such/path", "/toy", "/toy/a/b"):
            assert (await Caller(app, path, b"")()).status == 404
        assert requests_of(app, "other", 404) == 3

    run(test)
