"""The known name that a mistyped one is nearest to, for errors."""

import difflib
import unicodedata
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names the nearest known name, with a space before it; "" if none is near."""
    by_spelling = {_spelling(other): other for other in known}
    found = difflib.get_close_matches(_spelling(name), by_spelling, n=1)
    return f" Did you mean {by_spelling[found[0]]!r}?" if found else ""


def _spelling(name: str) -> str:
    """The letters of a name: a Korean syllable is one character of up to three letters."""
    return unicodedata.normalize("NFD", name.lower())
