"""Metrics of text: BLEU and chrF (sacrebleu), exact match, ROUGE-L and semantic similarity."""

import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib.evaluation.metrics.interface import Case, TextMetric

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class SacrebleuMetric(TextMetric):
    """Corpus scores, 0 to 100; a row without an answer is an empty hypothesis."""

    highest = 100.0
    corpus: Any
    sentence: Any

    async def row(self, case: Case) -> float:
        return float(self.sentence.sentence_score(case.answer, [case.reference]).score)

    def answers(self, cases: Sequence[Case], values: Sequence[float | None]) -> list[str]:
        """The hypotheses: "" for a row without a value."""
        return ["" if v is None else case.answer for case, v in zip(cases, values, strict=True)]

    def total(self, cases: Sequence[Case], values: Sequence[float | None]) -> float:
        result = self.corpus.corpus_score(self.answers(cases, values), [[case.reference for case in cases]])
        self.note = str(self.corpus.get_signature())
        return float(result.score)


class Bleu(SacrebleuMetric):
    """BLEU (Papineni et al. 2002), 0 to 100, as sacrebleu (Post 2018) computes it; its signature is the note."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        from sacrebleu.metrics.bleu import BLEU

        self.corpus, self.sentence = BLEU(), BLEU(effective_order=True)


class ChrF(SacrebleuMetric):
    """chrF (Popović 2015), 0 to 100: overlap of character n-grams."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        from sacrebleu.metrics.chrf import CHRF

        self.corpus = self.sentence = CHRF()


class ExactMatch(TextMetric):
    """1 where answer and reference have the same words in the same order, else 0.

    Case, punctuation and the articles (a, an, the) do not count, as in SQuAD (Rajpurkar et al. 2016).
    """

    async def row(self, case: Case) -> float:
        return float(_normal(case.answer) == _normal(case.reference))


class RougeL(TextMetric):
    """ROUGE-L F1 (Lin 2004), 0 to 1: the longest common subsequence of stemmed words."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        from importlib.metadata import version

        from rouge_score.rouge_scorer import RougeScorer

        self._scorer = RougeScorer(["rougeL"], use_stemmer=True)
        self.note = f"F1, stemmed, rouge_score {version('rouge_score')}"

    async def row(self, case: Case) -> float:
        return float(self._scorer.score(case.reference, case.answer)["rougeL"].fmeasure)


class SemanticSimilarity(TextMetric):
    """Cosine of the embeddings of answer and reference, -1 to 1, by the model ``evaluation.embeddings``."""

    lowest = -1.0

    def __init__(self, settings: "Settings | None" = None) -> None:
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


def _normal(text: str) -> str:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
