"""Regression of several numbers for each row."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.evaluation.label_cases import LabelCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MultiOutput(ArrayTask):
    """y_true and y_pred: finite numbers [N, L], each label in its own unit.
    The labels are those of `Task.classes`."""

    name: ClassVar[str] = "multioutput"

    def read(self, y_true: Any, y_pred: Any) -> LabelCases:
        return LabelCases.read(y_true, y_pred, self.classes, self.weights)

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """A table with the scores of each label in its own unit."""
        import pandas as pd
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        cases, lines = self.read(y_true, y_pred), []
        for place, name in enumerate(cases.names):
            truth, predicted = cases.column(place)
            scores = {
                "rmse": root_mean_squared_error(truth, predicted, sample_weight=cases.weights),
                "mae": mean_absolute_error(truth, predicted, sample_weight=cases.weights),
            }
            varies = np.ptp(cases.weighed[:, place]) > 0
            r2 = r2_score(truth, predicted, sample_weight=cases.weights) if varies else None
            lines.append(
                {"label": name, "mean": float(np.average(truth, weights=cases.weights)), "r2": r2, **scores}
            )
        return {"tables": {"Labels": pd.DataFrame(lines)}}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``labels``: predicted against true values, a panel for each label."""
        from mlops_lib.evaluation.figures import labels as draw

        return {"labels": draw.predicted_vs_true(self.read(y_true, y_pred))}
