"""Metrics of the effort behind an answer: steps and cost. Lower is better."""

from collections.abc import Sequence
from math import inf

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric


class Effort(TextMetric):
    """A mean whose rows without an answer count as the largest value."""

    higher_is_better = False
    highest = inf
    worst = None
    note = "mean; a row without an answer counts as the largest value"

    def worst_of(self, values: Sequence[float]) -> float | None:
        return max(values, default=None)


class Steps(Effort):
    """Nodes of the graph that ran for an answer; without a graph, messages."""

    async def row(self, case: Case) -> float:
        if not case.trajectory.steps:
            raise EvaluationError("the model shows no steps")
        return float(case.trajectory.steps)


class Cost(Effort):
    """US dollars of the LLM calls for an answer, by ``llm.prices``."""

    reads = ("llm.prices",)

    async def row(self, case: Case) -> float:
        usage = case.generation.usage
        if usage.unpriced:
            raise EvaluationError(
                f"{usage.unpriced} of {usage.calls} LLM calls have no price. Add the model to llm.prices"
            )
        return usage.cost_usd
