"""Texts that people read as the same and that programs tell apart."""

import unicodedata
from collections.abc import Iterable


def as_seen(text: str) -> str:
    """Composed letters, as of Hangul or ä, without white space at the ends: macOS writes letters apart (NFD).

    A text of white space alone stays: characters may be classes.
    """
    return " ".join(unicodedata.normalize("NFC", text).split()) or text


def alike(texts: Iterable[object]) -> tuple[str, str, str]:
    """The first two texts that look the same, or differ in upper and lower case alone, and how; empty without any."""
    own = [text for text in texts if isinstance(text, str)]
    for same, how in ((as_seen, "look the same"), (_without_case, "differ in upper and lower case alone")):
        first: dict[str, str] = {}
        for text in own:
            if (other := first.setdefault(same(text), text)) != text:
                return other, text, how
    return "", "", ""


def classes_alike(classes: Iterable[object]) -> str:
    """What is wrong with two classes that look the same, and the remedy; "" without any."""
    one, other, how = alike(classes)
    if how != "look the same":
        return ""
    return (
        f"has the classes {_escaped(one)} and {_escaped(other)}, which look the same: white space or composed letters "
        "differ. Write them in one way in the source."
    )


def _escaped(text: str) -> str:
    return repr(text) if unicodedata.is_normalized("NFC", text) else ascii(text)


def _without_case(text: str) -> str:
    return as_seen(text).casefold()
