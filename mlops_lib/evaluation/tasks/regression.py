"""Regression: one number predicted for each row."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.evaluation.cases import RegressionCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Regression(ArrayTask):
    """y_true and y_pred are N finite numbers in the unit of the target."""

    name: ClassVar[str] = "regression"

    def read(self, y_true: Any, y_pred: Any) -> RegressionCases:
        return RegressionCases.read(y_true, y_pred, self.weights)

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``predicted_vs_true`` and ``residuals``; baselines are named in the title of the first."""
        from mlops_lib.evaluation.figures import regression as draw

        cases = self.read(y_true, y_pred)
        return {
            "predicted_vs_true": draw.predicted_vs_true(cases, baselines),
            "residuals": draw.residuals(cases),
        }
