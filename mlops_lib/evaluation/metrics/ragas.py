"""RAGAS metrics (https://docs.ragas.io), through its `metrics.collections` API and
any OpenAI-compatible judge.

The judge's calls go through the platform's transport, so they are retried, limited, counted and recorded
like the model's own.
"""

import os
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.tool_calls import COLUMN, expected
from mlops_lib.llm.chat import openai_client, split

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class _Ragas(TextMetric):
    """A metric of ragas.

    Attributes:
        metric: Its class in ``ragas.metrics.collections``.
        arguments: Argument of its ``ascore`` -> attribute of a Case.
        needs_judge: Whether it asks the judge.
        needs_embeddings: Whether it needs an embedding model besides the judge.
    """

    metric: ClassVar[str]
    arguments: ClassVar[dict[str, str]]
    needs_judge: ClassVar[bool] = True
    needs_embeddings: ClassVar[bool] = False
    asks: ClassVar[tuple[str, ...]] = ("judge",)

    def __init__(self, settings: "Settings | None" = None) -> None:
        if self.needs_judge and not (settings and settings.evaluation.judge):
            raise EvaluationError(
                f"{self.metric} needs a judge. Set evaluation.judge, for example to openai:gpt-4o-mini."
            )
        # ragas reads both at import.
        os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        from importlib.metadata import version

        from ragas.metrics import collections

        self.note = f"ragas {version('ragas')}"
        options = self._models(settings) if self.needs_judge and settings else {}
        self._metric = getattr(collections, self.metric)(**options)

    def _models(self, settings: "Settings") -> dict[str, Any]:
        """The judge, and the embedding model where it is needed."""
        from ragas.embeddings import OpenAIEmbeddings
        from ragas.llms import llm_factory

        chosen = settings.evaluation
        asked: dict[str, Any] = {"max_tokens": chosen.judge_max_tokens} if chosen.judge_max_tokens else {}
        if chosen.judge_temperature is not None:
            asked["temperature"] = chosen.judge_temperature
        client = openai_client(chosen.judge, settings.llm)
        options: dict[str, Any] = {
            "llm": llm_factory(split(chosen.judge)[1], provider="openai", client=client, **asked)
        }
        if self.needs_embeddings:
            client = openai_client(chosen.embeddings, settings.llm)
            options["embeddings"] = OpenAIEmbeddings(client=client, model=split(chosen.embeddings)[1])
        with_options = "".join(f", {option} {value}" for option, value in asked.items())
        self.note += f", judge {chosen.judge}{with_options}"
        return options

    async def row(self, case: Case) -> float:
        if "retrieved_contexts" in self.arguments and not case.contexts:
            raise EvaluationError(f"{self.metric} needs the passages of an answer, and this answer has none.")
        return float((await self._metric.ascore(**self.given(case))).value)

    def given(self, case: Case) -> dict[str, Any]:
        """Arguments of ragas' ``ascore``."""
        return {name: getattr(case, attribute) for name, attribute in self.arguments.items()}


class Faithfulness(_Ragas):
    """Share of the answer's claims that its passages support, 0 to 1."""

    metric = "Faithfulness"
    arguments: ClassVar = {"user_input": "question", "response": "answer", "retrieved_contexts": "contexts"}


class AnswerRelevancy(_Ragas):
    """Similarity of the question to questions generated from the answer, 0 to 1."""

    metric = "AnswerRelevancy"
    arguments: ClassVar = {"user_input": "question", "response": "answer"}
    needs_embeddings = True
    asks = ("judge", "embeddings")


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


class AnswerCorrectness(_Ragas):
    """Three quarters F1 of the answer's statements against the reference's,
    one quarter their similarity, 0 to 1."""

    metric = "AnswerCorrectness"
    arguments: ClassVar = {"user_input": "question", "response": "answer", "reference": "reference"}
    needs_embeddings = True
    asks = ("judge", "embeddings")


class _OfMessages(_Ragas):
    """A metric of the whole conversation, with its tool calls."""

    arguments: ClassVar = {}

    def given(self, case: Case) -> dict[str, Any]:
        from ragas.messages import AIMessage, HumanMessage, ToolCall, ToolMessage

        found: list[Any] = []
        for message in case.trajectory.messages:
            text = message.get("content") or message.get("error") or ""
            if message["role"] == "assistant":
                calls = [
                    ToolCall(name=c["name"], args=c.get("args") or {}) for c in message.get("tool_calls", ())
                ]
                found.append(AIMessage(content=text, tool_calls=calls or None))
            elif message["role"] == "user":
                found.append(HumanMessage(content=text))
            elif found and isinstance(found[-1], AIMessage | ToolMessage):
                found.append(ToolMessage(content=text))
        if not any(isinstance(message, HumanMessage) for message in found):
            found.insert(0, HumanMessage(content=case.question))
        return {"user_input": found}


class ToolCallAccuracy(_OfMessages):
    """Share of the arguments of the expected calls that the model gave, and 0 in another order of tools."""

    metric = "ToolCallAccuracy"
    needs_judge = False
    asks = ()
    columns = (COLUMN,)

    def given(self, case: Case) -> dict[str, Any]:
        from ragas.messages import ToolCall

        wanted = expected(case)
        if bare := [one.name for one in wanted if one.args is None]:
            raise EvaluationError(
                f"{COLUMN} has {bare[0]!r} without arguments, which {self.metric} compares. Write them, {{}} for none, or "
                "use tool_calls_any_order."
            )
        calls = [ToolCall(name=one.name, args=dict(one.args)) for one in wanted]
        return super().given(case) | {"reference_tool_calls": calls}


class TopicAdherence(_OfMessages):
    """F1 of the topics of the conversation against the column ``reference_topics``, 0 to 1."""

    metric = "TopicAdherence"
    columns = ("reference_topics",)

    def given(self, case: Case) -> dict[str, Any]:
        topics = case.columns.get("reference_topics")
        if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics) or not topics:
            raise EvaluationError(f"reference_topics must be a list of texts, and is {topics!r}")
        return super().given(case) | {"reference_topics": topics}


class AgentGoalAccuracy(_OfMessages):
    """1 where the conversation reaches the goal that the reference describes, else 0."""

    metric = "AgentGoalAccuracyWithReference"

    def given(self, case: Case) -> dict[str, Any]:
        return super().given(case) | {"reference": case.reference}
