"""Words of a text in any language: by spaces where the script has them, else by character.

A character is what a reader takes for one (Unicode's grapheme cluster): an emoji,
a letter with its vowel signs.
"""

import unicodedata
from typing import Literal

import regex

Kind = Literal["word", "character", "space", "sign"]

#: Scripts without spaces between words. Korean has spaces.
UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\u30fc\uff70]"
)
GRAPHEME = regex.compile(r"\X")
EMOJI = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}]")


def pieces(text: str) -> list[str]:
    """Words, characters, signs, and runs of spaces; joined they are the text again."""
    found: list[str] = []
    last = ""
    for sign in GRAPHEME.findall(text):
        kind = _kind(sign)
        if kind == last and kind in ("word", "space"):
            found[-1] += sign
        else:
            found.append(sign)
        last = kind
    return found


def tokens(text: str) -> list[str]:
    """The words, characters and emoji of a text, without punctuation; all signs if it has nothing else."""
    found = [piece for piece in pieces(text) if not piece.isspace()]
    return [piece for piece in found if is_word(piece)] or found


def is_word(piece: str) -> bool:
    """Whether a piece is a word, a character or an emoji, and no other sign."""
    return _kind(piece) in ("word", "character") or EMOJI.match(piece) is not None


def _kind(sign: str) -> Kind:
    first = sign[0]
    if first.isspace():
        return "space"
    if UNSPACED.match(first):
        return "character"
    category = unicodedata.category(first)
    return "sign" if category[0] in "PS" or category == "Cc" else "word"
