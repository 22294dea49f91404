"""Classification with probabilities, two classes or more."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.evaluation import inputs
from mlops_lib.evaluation.cases import ClassificationCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask
from mlops_lib.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classification(ArrayTask):
    """Two classes (y_pred: P(the second class), [N]) or C classes (y_pred: [N, C]).

    The classes are those of `Task.classes`, in that order; without them those of the truth, sorted.
    """

    name: ClassVar[str] = "classification"

    def read(self, y_true: Any, y_pred: Any) -> ClassificationCases:
        wrong = self.settings is not None and self.settings.evaluation.unknown_class == "wrong"
        return ClassificationCases.read(
            y_true, y_pred, classes=self.classes, weights=self.weights, unknown_is_wrong=wrong
        )

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """Notes about classes without rows, and about rows of classes that the train split lacks."""
        cases = self.read(y_true, y_pred)
        notes = {}
        absent = [repr(name) for code, name in enumerate(cases.classes) if code not in cases.present]
        if absent:
            notes["classes"] = f"no rows of class {listed(absent)}; means over classes leave it out"
        if cases.unknown.any():
            _, codes = inputs.labels(np.asarray(y_true, dtype=object)[cases.unknown])
            notes["unknown_class"] = (
                f"{cases.unknown.sum()} of {len(cases.codes)} rows are of {codes.max() + 1} classes that the train "
                "split lacks. They count as wrong; figures show them as rows of the least probable class."
            )
        return {"notes": notes}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``calibration`` and ``confusion``, and with rows of two classes
        ``roc`` and ``precision_recall``."""
        from mlops_lib.evaluation.figures import classification as draw
        from mlops_lib.evaluation.figures.calibration import calibration

        cases = self.read(y_true, y_pred)
        others = {name: self.read(y_true, predicted) for name, predicted in baselines.items()}
        curves = {"roc": draw.roc, "precision_recall": draw.precision_recall} if cases.columns else {}
        return {
            **{name: curve(cases, others) for name, curve in curves.items()},
            "calibration": calibration(cases),
            "confusion": draw.confusion(cases),
        }
