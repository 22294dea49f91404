"""What a graph takes and gives: the keys of its input and of its output, read from its types."""

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable
    from langgraph.pregel import Pregel

MESSAGES = "messages"


class Shape(NamedTuple):
    """What a graph takes and gives.

    Attributes:
        kind: ``keys``: an object with these keys; ``text``: a text; ``messages``: a list of messages;
            ``unknown``: not declared.
        inputs: Key -> whether the graph fails without it.
        outputs: Key of the answer -> its type; None: not declared.
        has_messages: The key ``messages`` of the input holds messages.
        make: Turns the keys into the graph's own type.
        is_state: The graph's answer is its state, of which the answer to a question is a part.
    """

    kind: Literal["keys", "text", "messages", "unknown"]
    inputs: Mapping[str, bool] = {}
    outputs: Mapping[str, Any] | None = None
    has_messages: bool = False
    make: Any = dict
    is_state: bool = False


def opened(found: "Runnable") -> "tuple[Pregel, Shape]":
    """A graph that a platform can run, and its shape. A Runnable becomes a graph with it as its only step."""
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.pregel import Pregel

    if isinstance(found, CompiledStateGraph):
        return found, _of_state_graph(found)
    if isinstance(found, Pregel):
        return found, _of_type(found.channels["__start__"].UpdateType)  # type: ignore[union-attr]
    return _as_graph(found), _of_runnable(found)


def _as_graph(runnable: "Runnable") -> "Pregel":
    from langgraph.func import entrypoint

    @entrypoint()
    async def run(value: Any) -> Any:
        return await runnable.ainvoke(value)

    return run


def _of_state_graph(graph: Any) -> Shape:
    builder = graph.builder
    channels = builder.schemas[builder.input_schema]
    required = required_of(builder.input_schema)
    return Shape(
        "keys",
        {name: required.get(name, False) for name in channels},
        {name: _type_of(channel) for name, channel in builder.schemas[builder.output_schema].items()},
        MESSAGES in channels and _holds_messages(channels[MESSAGES]),
        is_state=True,
    )


def _of_type(kind: Any) -> Shape:
    """The shape of an entrypoint's first argument."""
    if kind is str:
        return Shape("text")
    if "Message" in str(kind) and get_origin(kind) is list:
        return Shape("messages")
    if (required := required_of(kind)) or _has_fields(kind):
        return Shape(
            "keys",
            required,
            has_messages="Message" in str(_annotations(kind).get(MESSAGES, "")),
            make=dict if is_typeddict(kind) else lambda values: kind(**values),
        )
    return Shape("unknown")


def _of_runnable(runnable: Any) -> Shape:
    """The shape of a Runnable, from its JSON schema."""
    from langchain_core.language_models import BaseLanguageModel

    if isinstance(runnable, BaseLanguageModel):
        return Shape("messages")
    try:
        schema = runnable.get_input_jsonschema()
    except Exception:  # pydantic cannot describe every type of a user's own
        return Shape("unknown")
    if reference := schema.get("$ref"):
        schema = schema["$defs"][reference.rpartition("/")[2]]
    if schema.get("type") == "string":
        return Shape("text")
    if "anyOf" in schema and "PromptValue" in str(schema):
        return Shape("messages")
    properties = schema.get("properties") or {}
    if not properties or list(properties) == ["root"]:
        return Shape("unknown")
    required = schema.get("required", ())
    return Shape(
        "keys",
        {name: name in required for name in properties},
        has_messages=properties.get(MESSAGES, {}).get("type") == "array",
    )


def required_of(kind: Any) -> dict[str, bool]:
    """Field of a pydantic model, a dataclass or a TypedDict -> whether making one fails without it."""
    if fields := getattr(kind, "model_fields", None):
        return {name: field.is_required() for name, field in fields.items()}
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        return {
            field.name: field.default is missing and field.default_factory is missing
            for field in dataclasses.fields(kind)
        }
    return dict.fromkeys(_annotations(kind), False) if is_typeddict(kind) else {}


def _has_fields(kind: Any) -> bool:
    return is_typeddict(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields")


def _annotations(kind: Any) -> dict[str, Any]:
    return {
        name: value for base in reversed(getattr(kind, "__mro__", (kind,)))
        for name, value in vars(base).get("__annotations__", {}).items()
    }  # fmt: skip


def _holds_messages(channel: Any) -> bool:
    """Whether a channel holds messages: by its reducer, or by its type, which may be no more than a list."""
    kind = _type_of(channel)
    reducer = getattr(getattr(channel, "operator", None), "__qualname__", "")
    return "add_messages" in reducer or "Message" in str(kind) or kind in (list, list[Any])


def _type_of(channel: Any) -> Any:
    kind = getattr(channel, "UpdateType", Any)
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def is_structured(kind: Any) -> bool:
    """Whether a type holds fields or numbers, and never a text."""
    if isinstance(kind, TypeVar):  # of an agent's answer in the form that its caller chose
        return True
    if get_origin(kind) in (Union, UnionType):
        return all(each is type(None) or is_structured(each) for each in get_args(kind))
    has_fields = _has_fields(kind) and "additional_kwargs" not in required_of(kind)  # as messages have
    return kind in (bool, int, float, dict) or get_origin(kind) is dict or has_fields
