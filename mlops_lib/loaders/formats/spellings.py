"""Spellings of yes and no: 1, true, t, yes, y and on mean the same to people, and are different texts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Spellings of yes and no, in any case.
PAIRS = (("1", "0"), ("1.0", "0.0"), ("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("on", "off"))
_WORDS = {word: pair for pair in PAIRS for word in pair}
#: Most distinct texts of a column of these words, upper and lower case apart.
MAX_WORDS = 64


def spelling_of(text: str) -> tuple[str, str] | None:
    """The pair of `PAIRS` that a text is of; None for other texts."""
    return _WORDS.get(text.strip().casefold())


def words_of(texts: "pa.Array | pa.ChunkedArray", ignored: Iterable[str] = ()) -> set[str] | None:
    """The distinct texts but for `ignored`, if all of them mean yes or no; else None."""
    import pyarrow.compute as pc

    texts, ignored = texts.drop_null(), set(ignored)
    if not len(texts):
        return set()
    first = texts[0].as_py()
    if not (first in ignored or spelling_of(first)):  # most columns: spares the count of distinct texts
        return None
    found = set(pc.unique(texts).to_pylist()) - ignored
    return found if len(found) <= MAX_WORDS and all(map(spelling_of, found)) else None


def mixed(words: Iterable[str]) -> list[tuple[str, str]]:
    """The spellings among `words`, if there are several that surely mean yes and no: one has both of its words.

    N and F alone may be codes.
    """
    seen: dict[tuple[str, str], set[str]] = {}
    for word in sorted(words):
        if pair := spelling_of(word):
            seen.setdefault(pair, set()).add(word.strip().casefold())
    numbers = PAIRS[0] in seen and PAIRS[1] in seen and len(seen) == 2
    return list(seen) if len(seen) > 1 and not numbers and any(len(one) == 2 for one in seen.values()) else []
