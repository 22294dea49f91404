"""/invoke and /predict with ``Accept: text/event-stream``: tokens, graph updates and the answer as they come.

Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): ``token`` ``{"text"}``,
``update`` (node -> what it changed), then one of ``prediction`` or ``interrupt``, which hold the same object as
the plain answer, or ``error``, which holds a problem object.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack, aclosing
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serving.features.enrichment import HEADER
from serving.inference.predictor import Engine
from serving.models.served import ServedModel
from serving.web.problems import as_problem, misfit

EVENT_STREAM = "text/event-stream"
T = TypeVar("T")


#: `Edge` answers these routes itself, unless the caller accepts events.
router = APIRouter(tags=["inference"])


@router.post("/invoke")
@router.post("/predict")
async def stream(request: Request) -> Response:
    """The events of one row. A model that says nothing on the way answers with one: `prediction`."""
    engine: Engine = request.app.state.engine
    engine.require_room()
    body = await request.body()
    model = engine.holder.current()
    rows, single = model.schema.parse(body)
    if not single and len(rows) != 1:
        raise misfit(
            f"A stream answers one row, and {len(rows)} came. Send one, or leave out 'Accept: {EVENT_STREAM}'."
        )
    if model.wrapper.waits:
        return EventStream(_events(request, model, rows, len(body)), model.asked(1))
    found = await engine.infer(model, rows, request.state.request_id, len(body))
    answer, headers = _answer(request, found.served, found.predictions[0]), {}
    if found.features:
        answer["features"], headers[HEADER] = found.features.field, found.features.header
    return Response(event("prediction", answer), media_type=EVENT_STREAM, headers=headers)


async def _events(
    request: Request, model: ServedModel, rows: list[Any], body_bytes: int
) -> AsyncGenerator[str]:
    engine: Engine = request.app.state.engine
    request_id = request.state.request_id
    try:
        async with aclosing(engine.stream(model, rows, request_id, body_bytes)) as events:
            async for kind, data in events:
                if kind == "token":
                    yield event(kind, {"text": data})
                elif kind == "update":
                    yield event(kind, data)
                else:
                    yield event(kind, _answer(request, model, data))
    except Exception as error:  # the answer has begun, so its status can no longer say that it failed
        yield event("error", json.loads(as_problem(error, request_id).body(request_id)))


def _answer(request: Request, model: ServedModel, prediction: Any) -> dict[str, Any]:
    return {"predictions": prediction, "model": model.card, "request_id": request.state.request_id}


def event(kind: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data, default=_as_json, ensure_ascii=False)}\n\n"


class EventStream(StreamingResponse):
    """A stream that ends, with all the work behind it, as soon as the client is gone.

    Starlette leaves that to the next write on newer servers, which may be minutes away while a model thinks.

    Args:
        content: The events.
        room: Entered now, while a refusal can still be an answer of its own, and left when the stream ends.
    """

    def __init__(self, content: AsyncGenerator[str], room: AbstractContextManager[None]) -> None:
        super().__init__(content, media_type=EVENT_STREAM, headers={"Cache-Control": "no-cache"})
        self._content, self._room = content, ExitStack()
        self._room.enter_context(room)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._room:
            await until_gone(receive, lambda: self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        try:
            await self.stream_response(send)
        finally:  # in the task that has run it, whose context it set variables in
            await self._content.aclose()


async def until_gone(receive: Receive, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """The result of `work`; None when the client went away first, with the work cancelled."""
    working = asyncio.ensure_future(work())
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _as_json(value: Any) -> Any:
    """Messages and other objects of a graph's state as JSON; what has no such form, as text."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.tolist() if hasattr(value, "tolist") else str(value)
