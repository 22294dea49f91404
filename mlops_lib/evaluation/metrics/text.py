"""Metrics of text: BLEU and chrF (sacrebleu), exact match, ROUGE-L and semantic similarity."""

import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_lib.evaluation.metrics import json_values, normal
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.languages import AUTO, bleu_tokenizer, language_of
from mlops_lib.evaluation.metrics.tokens import is_word, pieces, tokens

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

#: Words from here on are stemmed, as rouge_score does.
STEMMED_LETTERS = 4
#: The longest n-grams of BLEU, in tokens.
BLEU_ORDER = 4


class LanguageMetric(TextMetric):
    """A metric that depends on the language of the reference, or on ``evaluation.language``."""

    reads = ("language",)

    def language(self, case: Case) -> str:
        """See `language_of`."""
        return language_of(case.reference, self.settings.evaluation.language if self.settings else AUTO)


class SacrebleuMetric(LanguageMetric):
    """Corpus scores, 0 to 100; a row without an answer is an empty hypothesis."""

    highest = 100.0
    corpus: Any
    sentence: Any

    def prepared(self, case: Case, text: str) -> str:
        """Answer or reference in the form that sacrebleu scores: composed characters."""
        return unicodedata.normalize("NFC", text)

    def signature(self, cases: Sequence[Case]) -> str:
        """sacrebleu's signature, with the normalisation."""
        return f"{self.corpus.get_signature()}|norm:NFC"

    async def row(self, case: Case) -> float:
        answer, reference = (self.prepared(case, text) for text in (case.answer, case.reference))
        return float(self.sentence.sentence_score(answer, [reference]).score)

    def answers(self, cases: Sequence[Case], values: Sequence[float | None]) -> list[str]:
        """The hypotheses: "" for a row without a value."""
        return [
            "" if v is None else self.prepared(case, case.answer)
            for case, v in zip(cases, values, strict=True)
        ]

    def references(self, cases: Sequence[Case]) -> list[str]:
        """The reference of each row."""
        return [self.prepared(case, case.reference) for case in cases]

    def total(self, cases: Sequence[Case], values: Sequence[float | None]) -> float:
        result = self.corpus.corpus_score(self.answers(cases, values), [self.references(cases)])
        self.note = self.signature(cases)
        return float(result.score)


class Bleu(SacrebleuMetric):
    """BLEU (Papineni et al. 2002), 0 to 100, as sacrebleu (Post 2018) computes it; its signature is the note.

    Each row is cut into tokens in the language of its reference,
    so that a golden set may have several languages.
    """

    def __init__(self, settings: "Settings | None" = None) -> None:
        super().__init__(settings)
        from sacrebleu.metrics.bleu import BLEU

        # The texts are tokenized before; `force` turns off the warning about that.
        options: dict[str, Any] = {"tokenize": "none", "force": True}
        self.corpus, self.sentence = BLEU(**options), BLEU(**options, effective_order=True)

    def prepared(self, case: Case, text: str) -> str:
        return bleu_tokenizer(self.language(case))[0](super().prepared(case, text))

    def signature(self, cases: Sequence[Case]) -> str:
        used = sorted({bleu_tokenizer(self.language(case))[1] for case in cases})
        return super().signature(cases).replace("tok:none", f"tok:{'+'.join(used)}")

    def warning(self, cases: Sequence[Case]) -> str:
        if any(len(text.split()) >= BLEU_ORDER for text in self.references(cases)):
            return ""
        return f"no reference has {BLEU_ORDER} tokens, so BLEU is 0 for any answer; use chrf or rouge_l"


class ChrF(SacrebleuMetric):
    """chrF (Popović 2015), 0 to 100: overlap of character n-grams."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        super().__init__(settings)
        from sacrebleu.metrics.chrf import CHRF

        self.corpus = self.sentence = CHRF()


class ExactMatch(LanguageMetric):
    """1 where answer and reference have the same words in the same order, else 0.

    Case, punctuation and the English articles do not count, as in SQuAD (Rajpurkar et al. 2016); the signs of numbers and names do.
    A reference that is a JSON object or list is compared as a value.
    """

    note = f"{normal.NOTE}|no punctuation but the signs of numbers and names, no English articles"

    async def row(self, case: Case) -> float:
        wanted = json_values.parsed(case.reference)
        if wanted is not json_values.NONE:
            return float(json_values.equal(json_values.parsed(case.answer), wanted))
        return float(normal.same(case.answer, case.reference, english=self.language(case) == "en"))


class RougeL(LanguageMetric):
    """ROUGE-L F1 (Lin 2004), 0 to 1: the longest common subsequence of words; of stemmed words in English.

    In scripts without spaces between words, of characters.
    """

    def __init__(self, settings: "Settings | None" = None) -> None:
        super().__init__(settings)
        from importlib.metadata import version

        self.note = f"F1|words, characters where a script has no spaces|{normal.NOTE}|stem:en|rouge_score:"
        self.note += version("rouge_score")

    async def row(self, case: Case) -> float:
        scorer = self._scorers[self.language(case) == "en"]
        return float(scorer.score(case.reference, case.answer)["rougeL"].fmeasure)

    def warning(self, cases: Sequence[Case]) -> str:
        bare = sum(not any(map(is_word, pieces(case.reference))) for case in cases)
        return (
            f"{bare} of {len(cases)} references have no word and are compared by their signs" if bare else ""
        )

    @cached_property
    def _scorers(self) -> dict[bool, Any]:
        from rouge_score.rouge_scorer import RougeScorer

        return {english: RougeScorer(["rougeL"], tokenizer=_Words(english)) for english in (False, True)}


class _Words:
    """A tokenizer of rouge_score: the words of any language; in English their stems."""

    def __init__(self, english: bool) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stem = PorterStemmer().stem if english else None

    def tokenize(self, text: str) -> list[str]:
        found = tokens(normal.normal(text))
        if self._stem is None:
            return found
        return [self._stem(word) if len(word) >= STEMMED_LETTERS else word for word in found]


class SemanticSimilarity(TextMetric):
    """Cosine of the embeddings of answer and reference, -1 to 1, by the model ``evaluation.embeddings``."""

    asks = ("embeddings",)
    lowest = -1.0

    def __init__(self, settings: "Settings | None" = None) -> None:
        super().__init__(settings)
        from mlops_lib.llm.chat import openai_client, split

        name = settings.evaluation.embeddings if settings else "fake:trigrams"
        self._client = openai_client(name, settings.llm if settings else None)
        self._model = split(name)[1]
        self.note = name

    async def row(self, case: Case) -> float:
        answer = await self._client.embeddings.create(
            model=self._model, input=[case.answer, case.reference], encoding_format="float"
        )
        one, other = (item.embedding for item in answer.data)
        product = sum(a * b for a, b in zip(one, other, strict=True))
        lengths = (sum(a * a for a in one) * sum(b * b for b in other)) ** 0.5
        return product / lengths if lengths else 0.0
