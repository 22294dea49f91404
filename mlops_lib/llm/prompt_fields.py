"""Fields of a prompt: ``{{column}}``, whose name may have spaces, hyphens and letters of any script."""

import re
from collections.abc import Callable

#: JSON between double braces is no field.
FIELD = re.compile(r"""\{\{\s*([^{}\n"']+?)\s*\}\}""")


def fields(prompt: str) -> list[str]:
    """The names of the fields, in their order, each once."""
    return list(dict.fromkeys(FIELD.findall(prompt)))


def filled(prompt: str, value: Callable[[str], str | None]) -> str:
    """The prompt with ``value(name)`` in place of each field; None leaves it. A value is never read as a prompt itself."""
    return FIELD.sub(lambda match: match[0] if (found := value(match[1])) is None else found, prompt)
