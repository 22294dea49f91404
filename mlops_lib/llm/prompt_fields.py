r"""Fields of a prompt: ``{{column}}``, whose name may have spaces, hyphens, apostrophes and letters of any script.

A backslash before a field makes it text: ``\{{user.name}}`` is ``{{user.name}}`` for the model. Two are one backslash and the
field: ``C:\\{{file}}``.
"""

import re
from collections.abc import Callable, Collection

#: Backslashes, and a field with its name. JSON between double braces is no field.
FIELD = re.compile(r"""(\\*)(\{\{\s*([^\s{}"'](?:[^{}\n"]*[^\s{}"])?)\s*\}\})""")
#: A field after a backslash that may be meant as a part of a path.
PATH = re.compile(rf"[\w:.~]{FIELD.pattern}")


def fields(prompt: str) -> list[str]:
    """The names of the fields, in their order, each once."""
    return list(dict.fromkeys(match[3] for match in FIELD.finditer(prompt) if not _is_text(match)))


def only_field(prompt: str) -> str | None:
    """The name of the field that is the whole prompt."""
    match = FIELD.fullmatch(prompt)
    return match[3] if match and not match[1] else None


def filled(prompt: str, value: Callable[[str], str | None]) -> str:
    """The prompt with ``value(name)`` in place of each field; None leaves it. A value is never read as a prompt itself."""

    def text(match: re.Match[str]) -> str:
        backslashes = match[1][: len(match[1]) // 2]
        if _is_text(match):
            return backslashes + match[2]
        return match[0] if (found := value(match[3])) is None else backslashes + found

    return FIELD.sub(text, prompt)


def unclear_path(prompt: str, columns: Collection[str]) -> str | None:
    r"""What is wrong with a prompt such as ``C:\{{file}}``, whose writer may want a backslash and the column's value."""
    for match in PATH.finditer(prompt):
        if _is_text(match) and match[3] in columns:
            return (
                f"{match[0]!s}: the backslash makes {match[2]} text, and {match[3]!r} is a column. Write two backslashes for a "
                f"backslash and the column's value, or a space before the backslash for the text {match[2]}."
            )
    return None


def _is_text(match: re.Match[str]) -> bool:
    return len(match[1]) % 2 == 1
