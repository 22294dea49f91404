"""Metrics of text by name: BLEU and chrF of sacrebleu, exact match, ROUGE-L, semantic similarity, and your own."""

import asyncio
import inspect
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.llm.generation import Generation

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


@dataclass(frozen=True)
class Case:
    """One row to be judged: what was asked and answered, and what the answer should have been."""

    generation: Generation
    reference: str

    @property
    def answer(self) -> str:
        """The model's answer as text."""
        return str(self.generation.output)

    @property
    def question(self) -> str:
        """The row's input as text: the value of its first column."""
        return str(next(iter(self.generation.input.values()), ""))

    @property
    def contexts(self) -> list[str]:
        """Passages the answer was made from."""
        return list(self.generation.contexts)


class TextMetric:
    """One metric. `row` scores a row that has an answer; `total` makes one number of all rows.

    Attributes:
        higher_is_better: Which way is up.
        worst: What a row without an answer counts as; None: such a row cannot be counted.
        note: What a reader must know to compare the number: a signature, a judge.
    """

    higher_is_better = True
    worst: float | None = 0.0
    note = ""

    def __init__(self, settings: "Settings | None" = None) -> None:
        self.settings = settings

    async def row(self, case: Case) -> float:
        """The score of one answer."""
        raise NotImplementedError

    def total(self, cases: Sequence[Case], values: Sequence[float | None]) -> float:
        """The mean over all rows, those without a value counted as the worst."""
        return float(sum(self.worst if v is None else v for v in values) / len(values))  # type: ignore[misc]


class _Sacrebleu(TextMetric):
    """Corpus scores, 0 to 100; a row without an answer is an empty hypothesis."""

    corpus: Any
    sentence: Any

    async def row(self, case: Case) -> float:
        return float(self.sentence.sentence_score(case.answer, [case.reference]).score)

    def total(self, cases: Sequence[Case], values: Sequence[float | None]) -> float:
        answers = ["" if v is None else case.answer for case, v in zip(cases, values, strict=True)]
        result = self.corpus.corpus_score(answers, [[case.reference for case in cases]])
        self.note = str(self.corpus.get_signature())
        return float(result.score)


class Bleu(_Sacrebleu):
    """BLEU (Papineni et al. 2002), 0 to 100, as sacrebleu (Post 2018) computes it; its signature is the note."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        from sacrebleu.metrics.bleu import BLEU

        self.corpus, self.sentence = BLEU(), BLEU(effective_order=True)


class ChrF(_Sacrebleu):
    """chrF (Popović 2015), 0 to 100: overlap of character n-grams."""

    def __init__(self, settings: "Settings | None" = None) -> None:
        from sacrebleu.metrics.chrf import CHRF

        self.corpus = self.sentence = CHRF()


class ExactMatch(TextMetric):
    """1 where answer and reference are the same words (case, punctuation and a, an, the left out), else 0.

    The normalisation is SQuAD's (Rajpurkar et al. 2016).
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


class OwnMetric(TextMetric):
    """A function of the user's, ``score(case) -> float``, plain or async.

    Attributes ``higher_is_better`` (default True) and ``worst`` (default 0.0; none where lower is better) may
    be set on the function.
    """

    def __init__(self, function: Callable[[Case], Any], name: str) -> None:
        self._function = function
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.worst = getattr(function, "worst", 0.0 if self.higher_is_better else None)
        self.note = name

    async def row(self, case: Case) -> float:
        if inspect.iscoroutinefunction(self._function):
            return float(await self._function(case))
        return float(await asyncio.to_thread(self._function, case))


def make(name: str, settings: "Settings | None") -> TextMetric:
    """The metric of a name, or of a dotted path ``package.module:function``.

    Raises:
        PluginError: There is none of that name, or what it imports is not installed.
        EvaluationError: It cannot be set up with these settings.
    """
    found = plugins.load("metric", name)
    try:
        if inspect.isclass(found) and issubclass(found, TextMetric):
            return found(settings)
    except ImportError as error:
        extra = plugins.TABLE["metric"].get(name, plugins.Plugin("")).extra or "llm"
        raise EvaluationError(
            f"Metric {name!r}: {error}. Install it with: pip install 'mlops-lib[{extra}]'"
        ) from error
    if not callable(found):
        raise EvaluationError(f"Metric {name!r} is a {type(found).__name__}, not a function of a case.")
    return OwnMetric(found, name)


def _normal(text: str) -> str:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
