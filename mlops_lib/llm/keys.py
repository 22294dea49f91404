"""Providers' keys: read from the environment, and kept out of everything that is written."""

import os

VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def masked(text: str) -> str:
    """`text` without the values of the key variables, should a provider repeat one in an error."""
    for variable in VARIABLES.values():
        if key := os.environ.get(variable):
            text = text.replace(key, "**********")
    return text
