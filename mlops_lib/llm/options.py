"""Options of a chat in OpenAI's form (``temperature``, ``tools``, ...): used by a model, or refused by name."""

from collections.abc import Collection, Mapping
from typing import Any

from mlops_lib.errors import InputError

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
