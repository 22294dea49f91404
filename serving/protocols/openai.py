"""OpenAI's protocol over the served model: /v1/chat/completions and /v1/models.

https://platform.openai.com/docs/api-reference/chat. `model` is the name in the registry; ``thread_id`` (in
the client: ``extra_body={"thread_id": ...}``) continues a conversation, and ``resume`` answers an interrupt.
"""

import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from mlops_lib.llm.ledger import tally
from mlops_lib.llm.usage import Usage
from serving.inference.predictor import Engine
from serving.models.served import ServedModel
from serving.web.bodies import decode
from serving.web.problems import Problem, as_problem, misfit
from serving.web.sse import EventStream, until_gone

router = APIRouter(prefix="/v1", tags=["openai"])

#: What a problem's status is called in OpenAI's errors.
ERROR_TYPES = {400: "invalid_request_error", 404: "invalid_request_error", 422: "invalid_request_error"}


class ChatRequest(msgspec.Struct):
    """What is read of a request; what else a client sends (temperature, ...) is the packaged model's to decide."""

    messages: list[dict[str, Any]]
    model: str = ""
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: int = 1
    thread_id: str | None = None
    resume: str | None = None


decoder = msgspec.json.Decoder(ChatRequest)


@router.get("/models")
async def models(request: Request) -> JSONResponse:
    """The served model, as a list of one."""
    try:
        model = request.app.state.holder.current()
    except Problem as error:
        return _error(request, error)
    card = {"id": model.version.name, "object": "model", "created": 0, "owned_by": "mlops"}
    return JSONResponse({"object": "list", "data": [card]})


@router.post("/chat/completions")
async def chat_completions(request: Request) -> Response:
    """One answer to a chat, whole or in pieces; always the champion's, see docs/decisions/0305."""
    engine: Engine = request.app.state.engine
    try:
        engine.require_room()
        body = await request.body()
        model = engine.holder.current()
        asked = _parse(body, model)
        row = model.wrapper.chat_row(asked.messages)
        row |= {
            name: value for name in ("thread_id", "resume") if (value := getattr(asked, name)) is not None
        }
        head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model.version.name}
        if asked.stream:
            usage = bool((asked.stream_options or {}).get("include_usage"))
            return EventStream(_chunks(request, model, row, head, usage, len(body)), model.asked(1))
        answered = await until_gone(request.receive, lambda: _answer(request, model, row, len(body)))
    except Exception as error:
        return _error(request, error)
    if answered is None:  # nobody is there to read it
        return Response(status_code=499)
    text, used = answered
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": _usage(used)})


async def _answer(
    request: Request, model: ServedModel, row: dict[str, Any], body_bytes: int
) -> tuple[str, Usage]:
    engine: Engine = request.app.state.engine
    with tally() as usage:
        found = await engine.infer(model, [row], request.state.request_id, body_bytes, champion_only=True)
    return _text(found.predictions[0]), usage


async def _chunks(
    request: Request,
    model: ServedModel,
    row: dict[str, Any],
    head: dict[str, Any],
    with_usage: bool,
    body_bytes: int,
) -> AsyncGenerator[str]:
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**head, 'choices': [choice]}, ensure_ascii=False)}\n\n"

    said = False
    yield chunk({"role": "assistant", "content": ""})
    try:
        with tally() as used:
            engine: Engine = request.app.state.engine
            async with aclosing(engine.stream(model, [row], request.state.request_id, body_bytes)) as events:
                async for kind, data in events:
                    if kind == "token":
                        said = True
                        yield chunk({"content": data})
                    elif kind == "interrupt" or (kind == "prediction" and not said):
                        yield chunk({"content": _text(data)})
    except Exception as error:
        yield f"data: {bytes(_error(request, error).body).decode()}\n\n"
        return
    yield chunk({}, "stop")
    if with_usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': _usage(used)})}\n\n"
    yield "data: [DONE]\n\n"


def _parse(body: bytes, model: ServedModel) -> ChatRequest:
    asked = decode(decoder.decode, body)
    if asked.model not in ("", model.version.name):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "model_not_found",
            f"Model {asked.model!r} is not served here. This service has {model.version.name!r}.",
        )
    if asked.n != 1:
        raise misfit(f"'n' is {asked.n}; one answer is given.")
    return asked


def _error(request: Request, error: Exception) -> JSONResponse:
    """A problem in the form that OpenAI's clients read."""
    problem = as_problem(error, request.state.request_id)
    kind = ERROR_TYPES.get(problem.status, "server_error")
    body = {"message": problem.detail, "type": kind, "code": problem.code, "param": None}
    # Retrying is for the service's own calls; a caller that retries too would multiply them.
    headers = {"x-should-retry": "false"} if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR else {}
    return JSONResponse({"error": body}, problem.status, problem.headers | headers)


def _usage(used: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.tokens,
    }


def _text(prediction: Any) -> str:
    return (
        prediction if isinstance(prediction, str) else json.dumps(prediction, ensure_ascii=False, default=str)
    )
