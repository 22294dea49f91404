"""RAGAS metrics (https://docs.ragas.io), through its `metrics.collections` API and any OpenAI-compatible judge.

The judge's calls go through the platform's transport, so they are retried, limited, counted and recorded
like the model's own.
"""

import os
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.llm.chat import openai_client, split

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class _Ragas(TextMetric):
    """A metric of ragas.

    Attributes:
        metric: Its class in ``ragas.metrics.collections``.
        arguments: Argument of its ``ascore`` -> attribute of a Case.
        needs_embeddings: Whether it needs an embedding model besides the judge.
    """

    metric: ClassVar[str]
    arguments: ClassVar[dict[str, str]]
    needs_embeddings: ClassVar[bool] = False
    asks: ClassVar[tuple[str, ...]] = ("judge",)

    def __init__(self, settings: "Settings | None" = None) -> None:
        name = settings.evaluation.judge if settings else ""
        if settings is None or not name:
            raise EvaluationError(
                f"{self.metric} needs a judge. Set evaluation.judge, for example to openai:gpt-4o-mini."
            )
        # ragas reads both at import.
        os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        from importlib.metadata import version

        from ragas.embeddings import OpenAIEmbeddings
        from ragas.llms import llm_factory
        from ragas.metrics import collections

        chosen = settings.evaluation
        asked: dict[str, Any] = {"max_tokens": chosen.judge_max_tokens} if chosen.judge_max_tokens else {}
        if chosen.judge_temperature is not None:
            asked["temperature"] = chosen.judge_temperature
        client = openai_client(name, settings.llm)
        judge = llm_factory(split(name)[1], provider="openai", client=client, **asked)
        options: dict[str, Any] = {"llm": judge}
        if self.needs_embeddings:
            embeddings = settings.evaluation.embeddings
            client = openai_client(embeddings, settings.llm)
            options["embeddings"] = OpenAIEmbeddings(client=client, model=split(embeddings)[1])
        self._metric = getattr(collections, self.metric)(**options)
        with_options = "".join(f", {option} {value}" for option, value in asked.items())
        self.note = f"ragas {version('ragas')}, judge {name}{with_options}"

    async def row(self, case: Case) -> float:
        if "retrieved_contexts" in self.arguments and not case.contexts:
            raise EvaluationError(f"{self.metric} needs the passages of an answer, and this answer has none.")
        result = await self._metric.ascore(
            **{name: getattr(case, attribute) for name, attribute in self.arguments.items()}
        )
        return float(result.value)


class Faithfulness(_Ragas):
    """Share of the answer's claims that its passages support, 0 to 1."""

    metric = "Faithfulness"
    arguments: ClassVar = {"user_input": "question", "response": "answer", "retrieved_contexts": "contexts"}


class AnswerRelevancy(_Ragas):
    """Similarity of the question to questions generated from the answer, 0 to 1."""

    metric = "AnswerRelevancy"
    arguments: ClassVar = {"user_input": "question", "response": "answer"}
    needs_embeddings = True


class ContextPrecision(_Ragas):
    """Whether the passages that support the reference are ranked first, 0 to 1."""

    metric = "ContextPrecision"
    arguments: ClassVar = {
        "user_input": "question",
        "reference": "reference",
        "retrieved_contexts": "contexts",
    }


class ContextRecall(_Ragas):
    """Share of the reference that the passages support, 0 to 1."""

    metric = "ContextRecall"
    arguments: ClassVar = {
        "user_input": "question",
        "reference": "reference",
        "retrieved_contexts": "contexts",
    }


class FactualCorrectness(_Ragas):
    """F1 of the answer's claims against those of the reference, 0 to 1."""

    metric = "FactualCorrectness"
    arguments: ClassVar = {"response": "answer", "reference": "reference"}
