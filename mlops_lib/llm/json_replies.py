"""Replies of LLMs in JSON: how a vendor is held to the form, and how a reply is read."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.llm.chat import split
from mlops_lib.llm.options import OPTIONS, as_arguments

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

#: From the first fence to the last one: a text in the object may have fences too.
FENCED = re.compile(r"^\s*```\w*\s*\n(.*)\n\s*```\s*$", re.DOTALL | re.MULTILINE)


def arguments(name: str, model: "BaseChatModel", title: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call whose reply is an object with these fields, all required; empty where the vendor has no such option.

    Args:
        name: The model as ``provider:model``.
        title: Of the object.
        fields: Field -> its JSON schema.
    """
    provider = split(name)[0]
    if "response_format" not in OPTIONS[provider]:
        return {}
    schema = {
        "type": "object",
        "properties": dict(fields),
        "required": [*fields],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": title, "strict": True, "schema": schema}}
    return as_arguments(provider, model, {"response_format": form})


def read(text: str) -> dict[str, Any]:
    """The object of a reply, alone or in a block between ``` fences; empty where there is none, or no single one."""
    block = FENCED.search(text)
    for part in (text, block[1] if block else ""):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        return found if isinstance(found, dict) else {}
    return {}
