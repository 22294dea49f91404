"""Networks that judge themselves: a loss for each row is the prediction, or the judged output."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.evaluation.cases import RegressionCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Loss(ArrayTask):
    """y_pred is a finite loss for each of N rows, such as the reconstruction error of an autoencoder;
    y_true is not read."""

    name: ClassVar[str] = "loss"

    def read(self, y_true: Any, y_pred: Any) -> RegressionCases:
        return RegressionCases.read(np.zeros(len(y_true)), y_pred, self.weights)

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``losses``: how many rows have which loss."""
        from mlops_lib.evaluation.figures.style import MODEL, chart

        losses = self.read(y_true, y_pred).predicted
        with chart(
            "How large are the losses of single rows?", f"median {np.median(losses):.4g}", "loss", "rows"
        ) as (figure, axes):
            axes.hist(losses, bins=min(40, max(len(losses) // 5, 5)), color=MODEL)
        return {"losses": figure}
