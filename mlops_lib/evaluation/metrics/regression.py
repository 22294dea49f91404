"""Metrics of regression, on checked numbers. scikit-learn is imported on first use."""

from typing import TYPE_CHECKING

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.cases import RegressionCases


@metric(highest=1)
def r2(cases: "RegressionCases") -> float:
    """Share of the variance that is explained; undefined where all true values are equal."""
    from sklearn.metrics import r2_score

    counted = cases.truth if cases.weights is None else cases.truth[cases.weights > 0]
    if counted.min() == counted.max():
        raise UndefinedError(
            f"all {len(counted)} true values are {counted[0]:g}, so there is no variance to explain"
        )
    return r2_score(cases.truth, cases.predicted, sample_weight=cases.weights)


@metric(higher_is_better=False, lowest=0)
def rmse(cases: "RegressionCases") -> float:
    """Root mean squared error, in the unit of the target."""
    from sklearn.metrics import root_mean_squared_error

    return root_mean_squared_error(cases.truth, cases.predicted, sample_weight=cases.weights)


@metric(higher_is_better=False, lowest=0)
def mae(cases: "RegressionCases") -> float:
    """Mean absolute error, in the unit of the target."""
    from sklearn.metrics import mean_absolute_error

    return mean_absolute_error(cases.truth, cases.predicted, sample_weight=cases.weights)


@metric(higher_is_better=False, lowest=0)
def median_absolute_error(cases: "RegressionCases") -> float:
    """Median absolute error, in the unit of the target."""
    from sklearn.metrics import median_absolute_error as median_error

    return median_error(cases.truth, cases.predicted, sample_weight=cases.weights)
