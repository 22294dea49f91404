"""The metric of networks that judge themselves."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.metrics.interface import metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.cases import RegressionCases


@metric(higher_is_better=False)
def mean_loss(cases: "RegressionCases") -> float:
    """Mean of the rows' losses, which are the predictions."""
    return float(np.average(cases.predicted, weights=cases.weights))
