"""Metrics of conversations with several turns."""

from collections.abc import Sequence
from typing import ClassVar

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.effort import Effort
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.simulation.script import GOAL
from mlops_lib.llm.conversation import GOAL_REACHED


class GoalReached(TextMetric):
    """1 where the simulated user says that its goal is reached, else 0; an error in a row without a goal."""

    note = "by the simulated user"
    columns: ClassVar = (GOAL,)

    def check(self, cases: Sequence[Case]) -> None:
        if self.settings and not self.settings.evaluation.simulated_user.model:
            raise EvaluationError(
                "The metric goal_reached needs an LLM that plays the user. Set evaluation.simulated_user.model."
            )
        if not any(case.columns.get(GOAL) for case in cases):
            raise EvaluationError(
                "The metric goal_reached needs a goal in the rows, and none of them has one."
            )

    async def row(self, case: Case) -> float:
        if not case.columns.get(GOAL) or case.conversation is None:
            raise EvaluationError("the row has no goal. Give it one, or take goal_reached out of evaluation")
        return float(case.conversation.end == GOAL_REACHED)


class Turns(Effort):
    """Messages of the user. Fewer are better."""

    async def row(self, case: Case) -> float:
        return float(case.conversation.turns if case.conversation else 1)
