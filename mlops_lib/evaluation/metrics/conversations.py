"""Metrics of conversations with several turns."""

from typing import ClassVar

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.effort import Effort
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.llm.conversation import GOAL_REACHED


class GoalReached(TextMetric):
    """1 where the simulated user says that its goal is reached, else 0; an error in a row without a goal."""

    note = "by the simulated user"
    columns: ClassVar = ("goal",)

    async def row(self, case: Case) -> float:
        if not case.columns.get("goal") or case.conversation is None:
            raise EvaluationError(
                "the row has no conversation of a simulated user. Give it a goal, and set evaluation.simulated_user.model"
            )
        return float(case.conversation.end == GOAL_REACHED)


class Turns(Effort):
    """Messages of the user. Fewer are better."""

    async def row(self, case: Case) -> float:
        return float(case.conversation.turns if case.conversation else 1)
