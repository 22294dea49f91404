"""Normal forms of a text: two texts that a reader takes for the same have the same one, in any language."""

import string
import unicodedata

import regex

from mlops_lib.evaluation.metrics.tokens import pieces

#: Written in a note beside a metric that uses `normal`.
NOTE = "norm:NFKC+casefold"
#: English words without a meaning of their own, as in SQuAD (Rajpurkar et al. 2016).
ARTICLES = frozenset(("a", "an", "the"))
#: Signs of one meaning in several forms.
PLAIN = str.maketrans(
    dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-")
)
#: No one sees these: soft hyphens, marks of direction, variation selectors, the Arabic tatweel.
#: Joiners and the tags of flags stay, since they make emoji and Persian words.
UNSEEN = regex.compile(r"(?![\u200c\u200d\U000E0020-\U000E007F])[\p{Cf}\ufe00-\ufe0f\u0640]")
#: Punctuation of all scripts, and the signs that SQuAD removes from English.
PUNCTUATION = regex.compile(rf"[\p{{P}}{regex.escape(string.punctuation)}]")
#: Before three digits, as in 3,000.
THOUSANDS = regex.compile(r"(?<=\d)[,\u066c'](?=\d{3}(?!\d))")
#: A number with one mark, as in 3.5, 3,5, 1/2, 10:30 and .5. Two marks make a date or a list, as in 2024.01.05.
MARKED = regex.compile(r"(?<![\d.,/:\u066b-])(?:(\d+)([.,/:\u066b])|(?<!\p{L})\.)(\d+)(?![.,/:\u066b-]?\d)")
MINUS = regex.compile(r"(?:(?<![\p{L}\d])|(?<=\de))-(?=\p{Sc}?\.?\d)")
#: Signs behind a name, as in C++, C#, A+, C++17 and C++은, and not between two, as in a+b and 서울+부산.
OF_NAMES = regex.compile(r"(?:(?<=\p{Latin})(?>\++)|(?<=(?<!\p{Latin})\p{Latin})#)(?!\p{Latin})")
#: Stand for the signs of numbers and names while punctuation is removed: Unicode leaves these characters to programs.
SIGNS = {
    ".": "\ue000",
    ",": "\ue000",
    "\u066b": "\ue000",
    "/": "\ue001",
    ":": "\ue002",
    "-": "\ue003",
    "+": "\ue004",
    "#": "\ue005",
}


def normal(text: str) -> str:
    """The text in Unicode's form NFKC, case-folded, with plain quotes and dashes,
    without unseen characters."""
    folded = UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate(PLAIN).casefold()
    # NFKC cuts the vowel am of Thai and Lao in two characters.
    return (
        unicodedata.normalize("NFKC", folded)
        .replace("\u0e4d\u0e32", "\u0e33")
        .replace("\u0ecd\u0eb2", "\u0eb3")
    )


def same(answer: str, reference: str, english: bool) -> bool:
    """Whether two texts have the same words in the same order.

    Case, punctuation and, in English, articles do not count, nor do spaces in a script that is written
    without. The signs of a number or name do: 3.5 is no 35, -5 no 5, C++ no C, and 3,000 is 3000. A reference of nothing else
    is compared as it is: "A" is no "the", and "+" no "-".
    """
    if english and (words := _words(reference, ARTICLES)):
        return _words(answer, ARTICLES) == words
    if words := _words(reference):
        return _words(answer) == words
    return normal(answer).split() == normal(reference).split()


def _words(text: str, without: frozenset[str] = frozenset()) -> list[str]:
    found = pieces(PUNCTUATION.sub("", _with_signs(normal(text))))
    return [piece for piece in found if not piece.isspace() and piece not in without]


def _with_signs(text: str) -> str:
    """The text with its numbers and names written without punctuation, one sign for each that changes the meaning."""
    plain = OF_NAMES.sub(lambda found: "".join(SIGNS[sign] for sign in found[0]), THOUSANDS.sub("", text))
    marked = MINUS.sub(SIGNS["-"], plain)
    return MARKED.sub(lambda found: (found[1] or "") + SIGNS[found[2] or "."] + found[3], marked)
