"""Providers' keys: their environment variables, and masking them in texts."""

import os

VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def masked(text: str) -> str:
    """`text` with the keys masked, because a provider may repeat a key in an error."""
    for variable in VARIABLES.values():
        if key := os.environ.get(variable):
            text = text.replace(key, "**********")
    return text
