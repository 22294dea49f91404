"""Parts of messages: the first of many names, the beginning of a long text, numbers that round alike,
the known name nearest to a mistyped one."""

import difflib
import unicodedata
from collections.abc import Iterable


def listed(names: Iterable[object], most: int = 10) -> str:
    """The first names, and how many more there are: "a, b and 3 more"."""
    known = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(map(str, known[:most])) + more


def cut(text: str, most: int) -> str:
    """The beginning of a long text, and its length."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def percent(share: float) -> str:
    """A share as a percentage, without rounding one below 1 up to 100%."""
    return f"{100 * share:.9g}%"


def apart(value: float, limit: float) -> tuple[str, str]:
    """A value and its limit with four significant digits, or as many as tell them apart."""
    for digits in range(4, 18):
        found = _number(value, digits), _number(limit, digits)
        if value == limit or found[0] != found[1]:
            break
    return found


def _number(value: float, digits: int) -> str:
    """A large number without an exponent."""
    return f"{value:,.{digits - 4}f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that names the nearest known name, with a space before it; "" if none is near."""
    by_spelling = {_spelling(other): other for other in known}
    found = difflib.get_close_matches(_spelling(name), by_spelling, n=1)
    return f" Did you mean {by_spelling[found[0]]!r}?" if found else ""


def _spelling(name: str) -> str:
    """The letters of a name: a Korean syllable is one character of up to three letters."""
    return unicodedata.normalize("NFD", name.lower())
