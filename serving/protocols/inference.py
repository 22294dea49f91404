"""The way of every inference request, whatever its protocol: decode, predict, encode.

A protocol is a module of this package with `ROUTES`, and one line in `serving.web.routes`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.wrappers.interface import StreamEvent
from serving.inference.predictor import Answered
from serving.inference.rows import Context, Rows
from serving.models.served import ServedModel
from serving.service import Service
from serving.web import compression
from serving.web.call import BINARY, Call, Reply
from serving.web.problems import Problem, as_problem, other_than_json, unsupported
from serving.web.route import Route
from serving.web.sse import HEADERS

#: Bytes of a body with images from which a thread decodes it: base64 and the parts of forms
#: would hold up other requests.
LARGE_BODY = 2**16


class Decoded(msgspec.Struct):
    """A decoded request.

    Attributes:
        rows: Of the champion's schema.
        stream: Whether the caller wants events; a model that does not wait on others answers in one piece.
        champion_only: Whether no challenger may answer.
        own: For the protocol's encoder.
    """

    rows: Rows
    stream: bool = False
    champion_only: bool = False
    own: Any = None


Decode = Callable[[Call, bytes, ServedModel], Decoded | Awaitable[Decoded]]
Encode = Callable[[Call, Decoded, Answered], Reply]
Events = Callable[[Call, Decoded, ServedModel, AsyncGenerator[StreamEvent]], AsyncGenerator[str]]


def _problem(call: Call, problem: Problem) -> Reply:
    raise problem


@dataclass(frozen=True, kw_only=True)
class InferenceRoute(Route):
    """A route that asks the model. The gateway answers it, without FastAPI's routing.

    Attributes:
        decode: Call, body and champion to the request, at once or as a coroutine. Raises Problem or InputError.
        encode: Predictions to the answer. Also for a stream of a model that does not wait on others: all its events.
        events: The model's events as server-sent events; None: the protocol has no streams.
        problem: A problem in the protocol's own form. Left out: a problem object (RFC 9457).
        query: Names of the parameters that it takes in the query string.
        summary: One line for OpenAPI.
        answer: Content of a good answer, for OpenAPI; None: any JSON.
        compresses: Whether long answers are compressed for callers who accept it. Many clients accept it by default, and
            in a fast network compression takes longer than it saves.
    """

    method: str = "POST"
    decode: Decode
    encode: Encode
    events: Events | None = None
    problem: Callable[[Call, Problem], Reply] = _problem
    query: tuple[str, ...] = ()
    summary: str = "Predictions"
    answer: Mapping[str, Any] | None = None
    compresses: bool = False


async def _after(
    first: StreamEvent | None, events: AsyncGenerator[StreamEvent]
) -> AsyncGenerator[StreamEvent]:
    if first is not None:
        yield first
        async for event in events:
            yield event


async def answer(route: InferenceRoute, call: Call, service: Service) -> None:
    """Answer a call that was admitted.

    Raises:
        Exception: For a problem object, where the protocol has no form of its own.
    """
    try:
        predictor = service.predictor
        predictor.require_room()
        body = await call.body()
        model = service.models.current()
        call.version = model.version.version
        with model:  # this version answers, though another may take its place meanwhile
            if model.schema.images and len(body) > LARGE_BODY:
                made = await asyncio.to_thread(route.decode, call, body, model)
            else:
                made = route.decode(call, body, model)
            decoded = made if isinstance(made, Decoded) else await made
            context = Context(call.request_id, len(body), call.deadline, decoded.champion_only, call.caller)
            if model.waits:
                await service.threads.claim(call.caller, decoded.rows.given())
            if decoded.stream and model.waits and route.events:
                with model.hold(1):
                    call.usage = Usage()
                    events = predictor.stream(model, decoded.rows, context, call.usage)
                    async with aclosing(events):
                        # The answer begins with the first event, so that a refusal before it can still be its status.
                        first = await anext(events, None)
                        await call.stream(route.events(call, decoded, model, _after(first, events)), HEADERS)
                return
            answered = await predictor.infer(model, decoded.rows, context)
        reply = route.encode(call, decoded, answered)
        if route.compresses and (accept := call.headers.get(b"accept-encoding")):
            reply = await _compressed(reply, accept, service)
    except Exception as error:
        if call.status:  # half an answer is out
            raise
        problem = as_problem(error, call.request_id)
        if problem.code == "invalid_json" and (
            kind := other_than_json(call.headers.get(b"content-type", b""))
        ):
            problem = unsupported(route.path, kind)
        call.code = problem.code
        reply = route.problem(call, problem)
    await call.reply(reply)


async def _compressed(reply: Reply, accept: bytes, service: Service) -> Reply:
    coding = compression.wanted(accept)
    if not coding or len(reply.body) < compression.MIN_BYTES:
        return reply
    headers = [*reply.headers, (b"content-encoding", coding), (b"vary", b"accept-encoding")]
    # `Call.reply` finds nothing in compressed bytes.
    body = service.masker.known(reply.body, keep_length=BINARY in reply.headers)
    return Reply(await compression.deflated(body, coding), headers, reply.status)
