"""Classification with probabilities, two classes or more."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from mlops_lib.evaluation.cases import ClassificationCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask


class Classification(ArrayTask):
    """Two classes (y_pred: P(the class sorted last), [N]) or C classes (y_pred: [N, C], sorted by label)."""

    name: ClassVar[str] = "classification"

    def read(self, y_true: Any, y_pred: Any) -> ClassificationCases:
        return ClassificationCases.read(y_true, y_pred)

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """Draw ``roc``, ``precision_recall``, ``calibration`` and ``confusion``."""
        from mlops_lib.evaluation.figures import classification as draw
        from mlops_lib.evaluation.figures.calibration import calibration

        cases = self.read(y_true, y_pred)
        others = {name: self.read(y_true, predicted) for name, predicted in baselines.items()}
        return {
            "roc": draw.roc(cases, others),
            "precision_recall": draw.precision_recall(cases, others),
            "calibration": calibration(cases),
            "confusion": draw.confusion(cases),
        }
