"""The language of a text, as far as metrics depend on it, and BLEU's tokenizer for it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import regex

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.tokens import UNSPACED, pieces

AUTO = "auto"
LETTER = regex.compile(r"\p{L}")
LATIN = regex.compile(r"\p{Latin}")
HANGUL = regex.compile(r"\p{Hangul}")
KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
HAN = regex.compile(r"\p{Han}")
#: Such a letter says as much as this many Latin ones: "ChatGPTは便利" is Japanese.
WEIGHT = 3
#: Words that tell English from other languages in Latin letters.
ENGLISH_WORDS = frozenset(("the", "of", "and"))
#: Language -> sacrebleu's tokenizer.
TOKENIZERS = {"ko": "ko-mecab", "ja": "ja-mecab", "zh": "zh"}


def language_of(text: str, chosen: str = AUTO) -> str:
    """``en``, ``ko``, ``ja``, ``zh``; ``latin``, ``characters`` (a script without
    spaces) or ``spaces`` for others.

    Args:
        text: A reference answer. Latin letters are English unless some are outside
            ASCII and no English word is there.
        chosen: ``evaluation.language``; a code decides without a look at the text.
    """
    if chosen in ("en", *TOKENIZERS):
        return chosen
    letters = "".join(LETTER.findall(text))
    counts = {
        "ko": WEIGHT * len(HANGUL.findall(letters)),
        "characters": WEIGHT * len(UNSPACED.findall(letters)),
        "spaces": len(letters) - sum(len(s.findall(letters)) for s in (HANGUL, UNSPACED, LATIN)),
        "latin": len(LATIN.findall(letters)),
    }
    script = max(counts, key=counts.__getitem__) if letters else "latin"
    if chosen != AUTO:
        return "spaces" if script == "ko" else script
    if script == "characters":
        return "ja" if KANA.search(letters) else "zh" if HAN.search(letters) else script
    if script == "latin" and (letters.isascii() or ENGLISH_WORDS & set(text.lower().split())):
        return "en"
    return script


def bleu_tokenizer(language: str) -> tuple[Callable[[str], str], str]:
    """The function that puts spaces between BLEU's tokens of a language, and its signature.

    Raises:
        EvaluationError: The tokenizer's package is not installed.
    """
    if language == "characters":
        return (lambda text: " ".join(p for p in pieces(text) if not p.isspace())), "grapheme"
    tokenizer = _sacrebleus(TOKENIZERS.get(language) or ("intl" if language == "spaces" else "13a"))
    return tokenizer, str(tokenizer.signature())


@cache
def _sacrebleus(name: str) -> Any:
    from sacrebleu.metrics.bleu import _get_tokenizer

    try:
        return _get_tokenizer(name)()
    except (ImportError, RuntimeError) as error:
        raise EvaluationError(
            f"Metric 'bleu' needs the tokenizer {name} for this text. Install it with: "
            "pip install 'mlops-lib[languages]'"
        ) from error
