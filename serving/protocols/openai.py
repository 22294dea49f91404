"""OpenAI's protocol over the served model: /v1/chat/completions and /v1/models.

https://platform.openai.com/docs/api-reference/chat. `model` is the name in the registry; ``thread_id`` (in
the client: ``extra_body={"thread_id": ...}``) continues a conversation, and ``resume`` answers an
interrupt: `messages` may then be empty. An answer that is an interrupt has it in the field ``interrupt``
too, and as JSON in its content.
"""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

from fastapi import Request
from fastapi.responses import JSONResponse
from msgspec import UNSET
from starlette.responses import Response

from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.wrappers.graph.threads import RESUME, THREAD
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text.chats import CHAT
from serving.inference.json_values import encode_json
from serving.inference.predictor import Answered
from serving.inference.rows import Rows
from serving.models.served import ServedModel
from serving.protocols.inference import Decoded, InferenceRoute
from serving.protocols.openai_answers import Choice, choice_of, is_interrupt
from serving.protocols.openai_request import ChatRequest, parse
from serving.web.call import JSON, Call, Reply
from serving.web.problems import Problem, as_problem, invalid_input
from serving.web.route import get
from serving.web.sse import HEADERS

TAG = "openai"
#: An unknown path under it is an error in OpenAI's form.
PREFIX = "/v1/"
#: The type of OpenAI's errors for a problem's status.
ERROR_TYPES = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
#: Codes of errors that last for longer than OpenAI's clients wait.
NO_RETRY = ("budget_exceeded", "llm_quota_exceeded", "llm_price_unknown")


class Chat(NamedTuple):
    """The fields of a request that the encoder needs.

    Attributes:
        head: Fields that every object of the answer has.
        with_usage: Whether a stream ends with the tokens that it cost.
    """

    head: dict[str, Any]
    with_usage: bool


async def decode(call: Call, body: bytes, model: ServedModel) -> Decoded:
    """A chat as one row, always the champion's, see docs/decisions/0305."""
    sent, options = parse(body)
    _require_served(sent.model or model.version.name, model)
    thread: dict[str, Any] = {} if sent.thread_id is None else {THREAD: sent.thread_id}
    if sent.resume is not UNSET and (sent.resume is not None or not sent.messages):
        thread[RESUME] = sent.resume
    for name in thread:
        if model.schema.columns and name not in model.schema.columns:
            raise invalid_input(f"This model keeps no conversations: leave out {name!r}.")
    # A thread that goes on with its turn has no new message.
    alone = bool(thread) and not sent.messages
    row = {CHAT: {}} if alone else await model.model.chat_row(sent.messages, options)
    row |= thread
    head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model.version.name}
    chat = Chat(head, bool((sent.stream_options or {}).get("include_usage")))
    return Decoded(Rows(model.schema, [row]), bool(sent.stream), champion_only=True, own=chat)


def example(model: ServedModel) -> dict[str, Any] | None:
    """A question, for a model that calls an LLM."""
    return {"messages": [{"role": "user", "content": "What can you do?"}]} if model.waits else None


def encode(call: Call, decoded: Decoded, answered: Answered) -> Reply:
    """The answer in one piece; for a caller who wants a stream, all its chunks at once."""
    chat, found = decoded.own, choice_of(answered.predictions[0])
    usage = _usage(answered.usage, found)
    if decoded.stream:
        parts = _first(chat), _chunk(chat, found.delta), _last(chat, found.finish_reason, usage)
        return Reply("".join(parts).encode(), HEADERS)
    choice = {"index": 0, "message": found.message, "finish_reason": found.finish_reason, "logprobs": None}
    answer = {**chat.head, "object": "chat.completion", "choices": [choice], "usage": usage}
    if is_interrupt(answered.predictions[0]):
        answer["interrupt"] = answered.predictions[0]
    return Reply(encode_json(answer))


async def events(
    call: Call, decoded: Decoded, model: ServedModel, events: AsyncGenerator[StreamEvent]
) -> AsyncGenerator[str]:
    """The answer in chunks. The rest of an answer that begins with the tokens, but for white space, follows them; another
    answer, unless the tokens end with it but for white space, is a paragraph of its own."""
    chat, has_calls, said = decoded.own, False, list[str]()
    found = choice_of("")
    yield _first(chat)
    try:
        async with aclosing(events):
            async for kind, data, _ in events:
                if kind == "token":
                    said.append(data)
                    yield _chunk(chat, {"content": data})
                elif kind == "tool_calls":
                    has_calls = True
                    yield _chunk(chat, {"tool_calls": data})
                elif kind == "contexts":
                    yield _chunk(chat, {}, contexts=data)
                elif kind == "interrupt":
                    yield _chunk(chat, _rest(choice_of(data), said, has_calls), interrupt=data)
                elif kind == "prediction":
                    found = choice_of(data)
                    rest = _rest(found, said, has_calls)
                    if rest or not (said or has_calls):
                        yield _chunk(chat, rest)
    except Exception as error:
        failure = as_problem(error, call.request_id)
        call.code = failure.code
        yield f"data: {problem(call, failure).body.decode()}\n\n"
        return
    yield _last(chat, found.finish_reason, _usage(call.usage or Usage(), found))


def problem(call: Call, problem: Problem) -> Reply:
    """A problem in the form that OpenAI's clients read."""
    kind = ERROR_TYPES.get(problem.status, "server_error")
    error = {"message": problem.detail, "type": kind, "code": problem.code, "param": None}
    headers = [JSON, *problem.raw_headers]
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR or problem.code in NO_RETRY:
        # The service has retried its own calls; a caller that retries too would multiply them.
        headers.append((b"x-should-retry", b"false"))
    return Reply(encode_json({"error": error}), headers, problem.status.value)


def no_such_path(path: str) -> Problem:
    """The answer to a path of OpenAI's protocol that the service does not have."""
    has = ", ".join(f"{route.method} {route.path}" for route in ROUTES)
    return Problem(
        HTTPStatus.NOT_FOUND, "not_found", f"This service has no {path}. Of OpenAI's protocol it has {has}."
    )


async def models(request: Request) -> Response:
    """The served model, as a list of one."""
    try:
        model = request.app.state.service.models.current()
    except Problem as error:
        return _as_response(problem(request.state.call, error))
    return JSONResponse({"object": "list", "data": [_card(model)]})


async def model(request: Request, name: str) -> Response:
    """The served model, if it has this name."""
    try:
        served = request.app.state.service.models.current()
        _require_served(name, served)
    except Problem as error:
        return _as_response(problem(request.state.call, error))
    return JSONResponse(_card(served))


def _require_served(name: str, model: ServedModel) -> None:
    if name != model.version.name:
        detail = f"Model {name!r} is not served here. This service has {model.version.name!r}."
        raise Problem(HTTPStatus.NOT_FOUND, "model_not_found", detail)


def _card(model: ServedModel) -> dict[str, Any]:
    return {"id": model.version.name, "object": "model", "created": 0, "owned_by": "mlops"}


def _as_response(reply: Reply) -> Response:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, reply.status, headers)


def _first(chat: Chat) -> str:
    return _chunk(chat, {"role": "assistant", "content": ""})


def _chunk(chat: Chat, delta: Mapping[str, Any], finish: str | None = None, **fields: Any) -> str:
    return _data(chat, choices=[{"index": 0, "delta": delta, "finish_reason": finish}], **fields)


def _rest(found: Choice, said: list[str], has_calls: bool) -> dict[str, Any]:
    """The part of an answer that its tokens do not have: nodes may write more or other text than the answer."""
    rest = found.delta
    if has_calls:
        rest.pop("tool_calls", None)
    if said and (text := rest.pop("content", None)):
        streamed = "".join(said)
        if (more := _after(streamed, text)) is not None:
            rest |= {"content": more} if more else {}
        elif not _unspaced(streamed).endswith(_unspaced(text)):
            rest["content"] = f"\n\n{text}"
    return rest


def _after(start: str, text: str) -> str | None:
    """The rest of a text that begins with another, but for white space; None if it does not."""
    if text.startswith(start):
        return text[len(start) :]
    at = 0
    for letter in _unspaced(start):
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(letter, at):
            return None
        at += 1
    return text[at:] if text[at:].strip() else ""


def _unspaced(text: str) -> str:
    return "".join(text.split())


def _last(chat: Chat, finish: str, used: dict[str, Any]) -> str:
    usage = _data(chat, choices=[], usage=used) if chat.with_usage else ""
    return f"{_chunk(chat, {}, finish)}{usage}data: [DONE]\n\n"


def _data(chat: Chat, **fields: Any) -> str:
    value = {**chat.head, "object": "chat.completion.chunk", **fields}
    return f"data: {encode_json(value).decode()}\n\n"


def _usage(used: Usage | None, found: Choice) -> dict[str, Any]:
    """The tokens of the platform's own calls; else the model's own count."""
    if found.usage and not (used and used.calls):
        return found.usage
    used = used or Usage()
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.tokens,
    }


ROUTES = (
    InferenceRoute(
        path="/v1/chat/completions",
        tag=TAG,
        request=ChatRequest,
        example=example,
        decode=decode,
        encode=encode,
        events=events,
        problem=problem,
        summary="One answer to a chat, whole or in pieces; always the champion's",
    ),
    get("/v1/models", models, TAG),
    get("/v1/models/{name}", model, TAG),
)
