"""The outermost layer, plain ASGI: what every request goes through.

It gives a request its id, finds its route, admits or refuses it before a byte of the body is read, cancels it
when it takes too long or its caller leaves, and counts it. It answers inference itself: FastAPI's routing and
response objects would cost more than the prediction. Other routes go on to FastAPI.
"""

import asyncio
import logging
import time
from http import HTTPStatus

from starlette._utils import get_route_path  # the path that FastAPI's router matches, so that the two agree
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.protocols import openai
from serving.protocols.inference import InferenceRoute, answer
from serving.service import Service
from serving.web.api_keys import given_key
from serving.web.call import NEVER, Call
from serving.web.failures import failures
from serving.web.problems import Problem, as_problem, disconnected
from serving.web.route import Route
from serving.web.routes import RouteTable

#: Seconds between two looks at the requests in flight.
SWEEP_S = 0.25


class Gateway:
    """Wraps the whole application.

    Args:
        app: Answers all routes but inference.
        table: All routes.
        service: Its models answer inference.
    """

    def __init__(self, app: ASGIApp, table: RouteTable, service: Service) -> None:
        self.app, self.table, self.service = app, table, service
        self.in_flight: set[Call] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        service, method, path = self.service, scope["method"], get_route_path(scope)
        if method == "HEAD":  # a GET whose body the server leaves out, by the method of its own scope
            method = "GET"
            scope = {**scope, "method": method}
        call = Call(scope, receive, send, service)
        self.in_flight.add(call)
        found = self.table.find(method, path)
        others = [] if found else self.table.others(path)
        # A wrong method is admitted and counted as the path's route.
        route = found[0] if found else next(iter(others), None)
        is_public = route is not None and route.access == "open"
        tracing = None if is_public else service.tracing
        span = tracing.start(method, call.headers) if tracing else None
        try:
            self._admit(call, route)
            if others:
                raise _not_allowed(path, others)
            if isinstance(route, InferenceRoute) and found:
                call.params = found[1]
                await answer(route, call, service)
            elif not found and path.startswith(openai.PREFIX):
                problem = openai.no_such_path(path)
                call.code = problem.code
                await call.reply(openai.problem(call, problem))
            else:
                scope.setdefault("state", {}).update(call=call, route=route)
                await self.app(scope, call.receive, call.send)
        except asyncio.CancelledError:
            if call.ended is None:
                raise
            if not call.status:
                await call.problem(call.ended)
        except Exception as error:
            if call.status and not call.finished:  # half an answer is out: only a closed connection can tell
                raise
            if not call.status:
                await call.problem(as_problem(error, call.request_id))
        finally:
            self.in_flight.discard(call)
            service.body_bytes -= call.body_bytes
            if call.watch:
                call.watch.cancel()
            # A path that is no route has no label of its own, or a scanner would make thousands.
            label = route.path if route else "other"
            seconds = time.monotonic() - call.began
            service.metrics.answered(label, call.status, seconds, isinstance(route, InferenceRoute))
            if tracing:
                tracing.end(span, method, label, call.status, call.request_id)
            # A stream that broke has status 200 and a code. A probe that fails every second is no news.
            if (call.status >= 400 or call.code) and not is_public:
                about = {
                    "method": method,
                    "route": label,
                    "status": call.status,
                    "error": call.code,
                    "version": call.version,
                }
                failures.log(
                    logging.WARNING if call.status >= 500 else logging.INFO,
                    about,
                    request_id=call.request_id,
                    ms=round(seconds * 1e3, 1),
                )

    async def sweep(self) -> None:
        """Cancel the requests that take too long, and watch for callers who leave the others.
        Never returns."""
        while True:
            await asyncio.sleep(SWEEP_S)
            failures.report_left_out()
            now = time.monotonic()
            for call in list(self.in_flight):
                if call.deadline < now:
                    call.deadline = NEVER
                    call.end(self._timed_out(call))
                elif call.read and not call.watch and call.began < now - SWEEP_S:
                    # A task for each short request would cost more than the request.
                    call.watch = asyncio.create_task(_cancel_when_left(call))

    def _admit(self, call: Call, route: Route | None) -> None:
        """Raise a Problem unless the request may go on. Its body has not been read yet."""
        call.require_fit()
        access = route.access if route else "key"
        if access != "open":
            if self.service.refusing:
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "This process is stopping.", 1)
            keys = self.service.keys
            if keys.file or access == "admin":
                key = given_key(call.headers.get(b"authorization", b""), call.headers.get(b"x-api-key", b""))
                call.caller = keys.admit(key, access == "admin")

    def _timed_out(self, call: Call) -> Problem:
        limit_s = self.service.settings.serving.request_timeout_s
        if not call.read and call.has_body:
            detail = f"The body was not whole within {limit_s:g} s (serving.request_timeout_s)."
            return Problem(HTTPStatus.REQUEST_TIMEOUT, "body_timed_out", detail)
        detail = f"No answer within {limit_s:g} s (serving.request_timeout_s)."
        return Problem(HTTPStatus.GATEWAY_TIMEOUT, "timed_out", detail)


async def _cancel_when_left(call: Call) -> None:
    await call.left()
    call.end(disconnected("the answer"))


def _not_allowed(path: str, routes: list[Route]) -> Problem:
    methods = ", ".join("GET, HEAD" if route.method == "GET" else route.method for route in routes)
    detail = f"{path} takes {methods}."
    return Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, headers={"Allow": methods})
