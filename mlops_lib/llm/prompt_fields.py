"""Fields of a prompt: ``{{column}}``, whose name may have spaces, hyphens and letters of any script.

A backslash before a field makes it text: ``\\{{user.name}}`` is ``{{user.name}}`` for the model.
"""

import re
from collections.abc import Callable

#: A literal, or the name of a field. JSON between double braces is neither.
FIELD = re.compile(r"""\\(\{\{[^{}\n"']+\}\})|\{\{\s*([^{}\n"']+?)\s*\}\}""")


def fields(prompt: str) -> list[str]:
    """The names of the fields, in their order, each once."""
    return list(dict.fromkeys(match[2] for match in FIELD.finditer(prompt) if match[2]))


def filled(prompt: str, value: Callable[[str], str | None]) -> str:
    """The prompt with ``value(name)`` in place of each field; None leaves it. A value is never read as a prompt itself."""

    def text(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        return match[0] if (found := value(match[2])) is None else found

    return FIELD.sub(text, prompt)
