"""Texts that people read as the same and that programs tell apart."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

#: A number, also with a decimal comma that cannot stand between thousands.
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{0,30}|,[0-9]|,[0-9]{2}|,[0-9]{4,30})?")

#: Texts that often stand for a missing value.
_NOTHING = {"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "-", "?"}

#: In a cell of a row of sums, in small letters.
TOTALS = (
    "total", "totals", "subtotal", "grand total", "합계", "총계", "총합계", "소계", "合計", "小計", "总计", "合计", "小计",
    "summe", "gesamt", "gesamtsumme", "total général",
)  # fmt: skip


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


def same_number(texts: Iterable[str]) -> tuple[str, str]:
    """The first two texts that are one number, such as 7 and 007, 1 and 1.0, or 1.5 and 1,5; empty without any."""
    first: dict[Decimal, str] = {}
    for text in filter(_NUMBER.fullmatch, texts):
        if (other := first.setdefault(Decimal(text.replace(",", ".")), text)) != text:
            return other, text
    return "", ""


def says_nothing(text: str) -> bool:
    """Whether a text often stands for a missing value."""
    return text.strip().casefold() in _NOTHING


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
