"""Word-level differences of two texts; by character in scripts that are written without spaces."""

import re
import unicodedata
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

#: Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han. Korean has spaces.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
#: Makes one emoji of several.
JOINER = "\u200d"
#: Least share of the shorter text's words that both have: fewer would only make the difference hard to read.
SIMILAR = 0.5
#: Most words that are compared: the time grows with the square.
MAX_WORDS = 2_000


class Piece(NamedTuple):
    """A part of one text or of both."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_changes(before: str, after: str) -> list[Piece]:
    """The pieces that make `before` (same and removed) and `after` (same and added), in order."""
    ours, theirs = words(before), words(after)
    if max(len(ours), len(theirs)) > MAX_WORDS:
        return _replaced(before, after)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    common = sum(_letters(ours[block.a : block.a + block.size]) for block in matcher.get_matching_blocks())
    if common < SIMILAR * min(_letters(ours), _letters(theirs)):
        return _replaced(before, after)
    pieces: list[Piece] = []
    for kind, from_1, to_1, from_2, to_2 in matcher.get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(ours[from_1:to_1])))
        else:
            pieces += _replaced("".join(ours[from_1:to_1]), "".join(theirs[from_2:to_2]))
    return pieces


def words(text: str) -> list[str]:
    """Words, signs, and runs of spaces; joined they are the text again."""
    found: list[str] = []
    last = ""
    for character in text:
        kind = _kind(character)
        joins = kind == "mark" or (kind == last and kind in ("word", "space"))
        if found and (joins or found[-1][-1] == JOINER):
            found[-1] += character
        else:
            found.append(character)
        last = last if kind == "mark" and found else kind
    return found


def _letters(found: list[str]) -> int:
    """Words and signs, without the spaces."""
    return sum(not word.isspace() for word in found)


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    # Marks (vowel signs, tones, variation selectors) and joiners belong to the character before them.
    if category[0] == "M" or character == JOINER:
        return "mark"
    if character.isspace():
        return "space"
    if UNSPACED.match(character):
        return "character"
    return "sign" if category[0] in "PS" else "word"


def _replaced(before: str, after: str) -> list[Piece]:
    pieces = [Piece("removed", before), Piece("added", after)]
    return [piece for piece in pieces if piece.text]
