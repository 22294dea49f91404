"""Word-level differences of two texts; by character in scripts that are written without spaces."""

from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from mlops_lib.evaluation.metrics.tokens import pieces

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
    ours, theirs = pieces(before), pieces(after)
    if max(len(ours), len(theirs)) > MAX_WORDS:
        return _replaced(before, after)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    common = sum(_letters(ours[block.a : block.a + block.size]) for block in matcher.get_matching_blocks())
    if common < SIMILAR * min(_letters(ours), _letters(theirs)):
        return _replaced(before, after)
    found: list[Piece] = []
    for kind, from_1, to_1, from_2, to_2 in matcher.get_opcodes():
        if kind == "equal":
            found.append(Piece("same", "".join(ours[from_1:to_1])))
        else:
            found += _replaced("".join(ours[from_1:to_1]), "".join(theirs[from_2:to_2]))
    return found


def _letters(words: list[str]) -> int:
    """Words and signs, without the spaces."""
    return sum(not word.isspace() for word in words)


def _replaced(before: str, after: str) -> list[Piece]:
    both = [Piece("removed", before), Piece("added", after)]
    return [piece for piece in both if piece.text]
