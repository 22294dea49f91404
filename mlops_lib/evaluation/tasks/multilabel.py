"""Several yes/no labels of each row, such as tags, with a probability for each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.evaluation.label_cases import LabelCases
from mlops_lib.evaluation.metrics.multilabel import ranked
from mlops_lib.evaluation.tasks.arrays import ArrayTask
from mlops_lib.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MultiLabel(ArrayTask):
    """y_true: 0 and 1, [N, L]. y_pred: P(1) of each label, [N, L]. The labels are those of `Task.classes`."""

    name: ClassVar[str] = "multilabel"

    def read(self, y_true: Any, y_pred: Any) -> LabelCases:
        return LabelCases.read(y_true, y_pred, self.classes, self.weights, binary=True)

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """A table with the scores of each label, and a note about labels that all or no rows have."""
        import pandas as pd
        from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

        cases = self.read(y_true, y_pred)
        both, weights = ranked(cases), cases.weights
        lines = []
        for place, name in enumerate(cases.names):
            truth, predicted = cases.column(place)
            is_ranked = place in both
            lines.append(
                {
                    "label": name,
                    "rows": int(truth.sum()),
                    "share": float(np.average(truth, weights=weights)),
                    "mean predicted": float(np.average(predicted, weights=weights)),
                    "roc_auc": roc_auc_score(truth, predicted, sample_weight=weights) if is_ranked else None,
                    "average_precision": (
                        average_precision_score(truth, predicted, sample_weight=weights)
                        if is_ranked
                        else None
                    ),
                    "f1": f1_score(truth, predicted > 0.5, sample_weight=weights, zero_division=0.0),
                }
            )
        notes = {}
        if others := [repr(name) for place, name in enumerate(cases.names) if place not in both]:
            notes["labels"] = (
                f"all rows have, or no row has, the label {listed(others)}; means over labels leave it out where "
                "they compare rows"
            )
        return {"tables": {"Labels": pd.DataFrame(lines)}, "notes": notes}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``labels``: the average precision of each label beside its share of rows,
        which chance reaches."""
        from mlops_lib.evaluation.figures import labels as draw

        cases = self.read(y_true, y_pred)
        return {"labels": draw.average_precisions(cases)}
