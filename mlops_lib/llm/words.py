"""Words of a text for search: the same word in another form counts, in every script."""

import unicodedata

import regex

#: Scripts whose words have particles, or no spaces between them: these count as pairs of letters.
PAIRED = r"\p{Hangul}\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc"
WORD = regex.compile(rf"(?P<paired>[{PAIRED}]+)|[\w--[{PAIRED}]]+", regex.V1)
ENDING = regex.compile(r"(ing|ed|es|s)$")


def words(text: str) -> list[str]:
    """Words in lower case, without plural and past endings; Korean, Japanese,
    Chinese and Thai as pairs of letters.

    ``"가격은 retries"`` is ``["가격", "격은", "retri"]``.
    """
    found: list[str] = []
    for match in WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match[0]
        if match["paired"]:
            found += [word[at : at + 2] for at in range(len(word) - 1)] or [word]
        else:
            found.append(ENDING.sub("", word) if len(word) > 4 else word)
    return found
