"""The body of a chat in OpenAI's protocol.

A field that is null counts as absent. Options (fields that change the answer) reach the model,
which uses each or refuses it by name.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from serving.web import bodies
from serving.web.problems import invalid_input

Penalty = Annotated[float, Meta(ge=-2, le=2)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Options(msgspec.Struct, kw_only=True):
    """The options whose form is checked here. A request may have others."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    max_tokens: AtLeastOne | None = None
    max_completion_tokens: AtLeastOne | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    user: str | None = None


class ChatRequest(Options, kw_only=True):
    """A chat. ``thread_id`` and ``resume`` (any JSON, also null) are the platform's own fields."""

    messages: list[dict[str, Any]]
    model: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    thread_id: str | None = None
    resume: Any = UNSET


#: Fields that are no options.
OWN = frozenset(ChatRequest.__struct_fields__) - frozenset(Options.__struct_fields__)


def parse(body: bytes) -> tuple[ChatRequest, dict[str, Any]]:
    """A request, and its options that are not null.

    Raises:
        Problem: 400 for a body that is not JSON; 422 for one that is no chat.
    """
    fields = bodies.decode(msgspec.json.decode, body)
    try:
        sent = msgspec.convert(fields, ChatRequest)
    except msgspec.ValidationError as error:
        raise invalid_input(f"{error}.") from None
    if sent.n not in (None, 1):
        raise invalid_input(f"'n' is {sent.n}; one answer is given.")
    return sent, {name: value for name, value in fields.items() if value is not None and name not in OWN}
