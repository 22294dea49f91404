"""Ranking: a score for each row, which orders the rows of a group such as the results of a query."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.ranking import mrr_by_group, ndcg_by_group
from mlops_lib.evaluation.ranking_cases import RankingCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST_GROUPS = 10


class Ranking(ArrayTask):
    """y_true: relevance, 0 or more, [N]. y_pred: scores [N], in any unit. The group of a row is its key."""

    name: ClassVar[str] = "ranking"

    def read(self, y_true: Any, y_pred: Any) -> RankingCases:
        if "key" not in self.facts:
            raise EvaluationError(
                "A ranking needs the group of each row: set data.key, or give facts={'key': ...}."
            )
        if self.weights is not None:
            raise EvaluationError("The ranking task counts all groups the same. Remove data.weight.")
        k = self.settings.evaluation.k if self.settings else 10
        return RankingCases.read(y_true, y_pred, self.facts["key"], k)

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """A table of the groups with the lowest NDCG, and a note about groups that are left out."""
        import pandas as pd

        cases = self.read(y_true, y_pred)
        rows, ranked = np.bincount(cases.groups), cases.ranked
        relevant = np.bincount(cases.groups, cases.truth > 0, len(rows)).astype(int)
        table = pd.DataFrame(
            {
                "group": [str(name) for name in cases.names],
                "rows": rows,
                "relevant": relevant,
                f"ndcg at {cases.k}": ndcg_by_group(cases),
                "reciprocal rank": mrr_by_group(cases),
            }
        )
        worst = table[ranked].sort_values(f"ndcg at {cases.k}", kind="stable").head(WORST_GROUPS)
        one, none = int((rows == 1).sum()), int(((rows > 1) & (relevant == 0)).sum())
        left_out = (
            f"; {one} groups of one row and {none} without a relevant row are left out" if one + none else ""
        )
        note = f"{ranked.sum()} of {len(rows)} groups are scored, each alike; k is {cases.k}{left_out}"
        return {"tables": {"Groups with the lowest NDCG": worst}, "notes": {"groups": note}}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``places``: the mean relevance at each place; ``groups``:
        how the NDCG of the groups is spread."""
        from mlops_lib.evaluation.figures import ranking as draw

        cases = self.read(y_true, y_pred)
        others = {name: self.read(y_true, predicted) for name, predicted in baselines.items()}
        if not cases.ranked.any():
            return {}
        return {"places": draw.places(cases, others), "groups": draw.groups(cases)}
