"""Metrics of conversations with several turns."""

from collections.abc import Sequence
from typing import ClassVar

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.effort import Effort
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.simulation.script import GOAL
from mlops_lib.llm.conversation import GOAL_REACHED


class GoalReached(TextMetric):
    """1 where the simulated user says that its goal is reached, else 0. Rows without a goal are left out."""

    note = "by the simulated user"
    columns: ClassVar = (GOAL,)

    def check(self, cases: Sequence[Case]) -> None:
        if self.settings and not self.settings.evaluation.simulated_user.model:
            raise EvaluationError(
                "The metric goal_reached needs an LLM that plays the user. Set evaluation.simulated_user.model."
            )
        if not any(map(self.counts, cases)):
            raise EvaluationError(
                "The metric goal_reached needs a goal in the rows, and none of them has one."
            )

    def counts(self, case: Case) -> bool:
        return bool(str(case.columns.get(GOAL) or "").strip())

    async def row(self, case: Case) -> float:
        return float(case.conversation is not None and case.conversation.end == GOAL_REACHED)

    def warning(self, cases: Sequence[Case]) -> str:
        without = sum(not self.counts(case) for case in cases)
        return f"{without} of {len(cases)} rows have no goal and do not count" if without else ""


class Turns(Effort):
    """Messages of the user. Fewer are better."""

    async def row(self, case: Case) -> float:
        return float(case.conversation.turns if case.conversation else 1)
