"""Options of a chat in OpenAI's form (``temperature``, ``tools``, ...): used by a model,
or refused by name."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

LIMITS = ("max_tokens", "max_completion_tokens")
COMMON = frozenset(
    (
        "temperature",
        "top_p",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        *LIMITS,
    )
)
#: Provider -> options that it can use.
OPTIONS: dict[str, frozenset[str]] = {
    "openai": COMMON | {
        "frequency_penalty", "logit_bias", "prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort",
        "safety_identifier", "seed", "service_tier", "user", "verbosity",
    },
    "anthropic": COMMON,
    "fake": frozenset(("stop", "tools", "tool_choice", *LIMITS)),
}  # fmt: skip
#: Values that ask for nothing. A model that cannot use such an option need not refuse it.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "stop": ([], ""),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
}
#: Options for the vendor's records and caches, which change no answer.
WITHOUT_EFFECT = ("metadata", "prompt_cache_key", "safety_identifier", "user")


def usable(options: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The options that a model can use.

    Args:
        options: As they were sent, without nulls.
        known: Names of the options that the model can use.

    Raises:
        InputError: There are others that would change the answer.
    """
    refused = [
        name
        for name, value in options.items()
        if name not in known and name not in WITHOUT_EFFECT and value not in NEUTRAL.get(name, ())
    ]
    if refused:
        named = ", ".join(map(repr, refused))
        can = f"It can use: {', '.join(sorted(known))}." if known else "It takes messages alone."
        raise InputError(f"This model cannot use {named}: leave it out. {can}")
    return {name: value for name, value in options.items() if name in known}


def for_provider(provider: str, options: Mapping[str, Any], most_tokens: int | None) -> dict[str, Any]:
    """The options that a provider can use, checked.

    Args:
        most_tokens: Upper limit of ``max_tokens``; None: there is none.

    Raises:
        InputError: The provider cannot use an option, or not with this value.
    """
    found = usable(options, OPTIONS[provider])
    limits = {found.pop(name) for name in LIMITS if name in found}
    if len(limits) > 1:
        raise InputError(f"{' and '.join(map(repr, LIMITS))} are the same option, and have two values.")
    for limit in limits:
        if most_tokens and limit > most_tokens:
            raise InputError(f"'max_tokens' is {limit}; the limit of this model is {most_tokens}.")
        found["max_tokens"] = limit
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    found = {name: value for name, value in found.items() if value not in ([], {}, [""])}
    for number, tool in enumerate(found.get("tools", ())):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, Mapping) or "name" not in function:
            raise InputError(
                f"'tools': tool {number} must have the type 'function', and a function with a name."
            )
    if "tools" not in found:
        if found.get("tool_choice", "auto") not in NEUTRAL["tool_choice"]:
            raise InputError("'tool_choice' needs 'tools'.")
        found = {name: v for name, v in found.items() if name not in ("tool_choice", "parallel_tool_calls")}
    if provider == "fake" and found.get("tool_choice", "auto") not in NEUTRAL["tool_choice"]:
        raise InputError("This model cannot use 'tool_choice' but 'none' and 'auto'.")
    wanted = found.get("response_format", {}).get("type", "text")
    if provider == "anthropic" and wanted not in ("text", "json_schema"):
        raise InputError(f"This model cannot use 'response_format' of type {wanted!r}, but 'json_schema'.")
    return found


def as_arguments(provider: str, model: "BaseChatModel", options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `for_provider` as keyword arguments of a LangChain model's call.

    Raises:
        InputError: The model cannot use one with this value.
    """
    given = dict(options)
    wanted = given.pop("response_format", None)
    if provider != "anthropic":
        if wanted:  # as an argument, LangChain would parse the answer, and refuse one that was cut off
            own: Mapping[str, Any] = getattr(model, "extra_body", None) or {}
            given["extra_body"] = {**own, "response_format": wanted}
        return given
    if wanted and wanted["type"] == "json_schema":
        given["response_format"] = wanted
    if tools := given.pop("tools", None):
        choice, parallel = given.pop("tool_choice", "auto"), given.pop("parallel_tool_calls", None)
        if isinstance(choice, Mapping):
            choice = {"type": "tool", "name": choice.get("function", {}).get("name", "")}
        choice = (
            {"none": {"type": "none"}, "required": "any"}.get(choice, choice)
            if isinstance(choice, str)
            else choice
        )
        if choice == {"type": "none"}:
            parallel = None
        try:
            bound: Any = model.bind_tools(tools, tool_choice=choice, parallel_tool_calls=parallel)
        except ValueError as error:
            raise InputError(f"'tools': {error}") from None
        given |= bound.kwargs
    return given
