"""Metrics of forecasts; MAE and RMSE are those of a regression. scikit-learn is imported on first use."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.forecast_cases import ForecastCases


@metric(higher_is_better=False, lowest=0)
def mase(cases: "ForecastCases") -> float:
    """Mean absolute scaled error: of each row in mean absolute changes of its series over a season,
    in the train split.

    Below 1 the forecast is better than the naive one was in training (Hyndman and Koehler 2006).
    Rows of a series without such a change are left out.
    """
    errors, weights = scaled_errors(cases)
    if not weights.any():
        raise UndefinedError(
            "no series has a change over a season in the train split, or the train split is not known"
        )
    return float(np.average(errors, weights=weights))


@metric(higher_is_better=False, lowest=0)
def wape(cases: "ForecastCases") -> float:
    """Weighted absolute percentage error: sum of the absolute errors,
    as a share of the sum of the absolute true values."""
    errors, sizes = np.abs(cases.truth - cases.predicted), np.abs(cases.truth)
    if not (total := np.average(sizes, weights=cases.weights)):
        raise UndefinedError("all true values are 0")
    return float(np.average(errors, weights=cases.weights) / total)


@metric(higher_is_better=False, lowest=0)
def smape(cases: "ForecastCases") -> float:
    """Symmetric mean absolute percentage error, 0 to 2: mean of 2 |y - f| / (|y| + |f|); 0 where both are 0."""
    return float(np.average(symmetric_errors(cases), weights=cases.weights))


@metric(higher_is_better=False, lowest=0)
def pinball(cases: "ForecastCases") -> float:
    """Mean pinball loss over rows and quantiles, as sklearn.metrics.mean_pinball_loss."""
    return float(np.average(pinball_losses(cases), weights=cases.weights))


@metric(higher_is_better=False, lowest=0)
def coverage_error(cases: "ForecastCases") -> float:
    """How far the share of true values between the outer quantiles is from what they promise;
    0.1 and 0.9 promise 0.8."""
    return abs(float(np.average(covered(cases), weights=cases.weights)) - promised(cases))


def scaled_errors(cases: "ForecastCases") -> tuple[np.ndarray, np.ndarray]:
    """Absolute error of each row in the scale of its series, and the weight of each row;
    0 for a row without a scale."""
    known = np.isfinite(cases.scale) & (cases.scale > 0)
    errors = np.divide(
        np.abs(cases.truth - cases.predicted), cases.scale, out=np.zeros(len(known)), where=known
    )
    return errors, known * (np.ones(len(known)) if cases.weights is None else cases.weights)


def symmetric_errors(cases: "ForecastCases") -> np.ndarray:
    """The term of `smape` of each row, [N]."""
    both = np.abs(cases.truth) + np.abs(cases.predicted)
    return np.divide(2 * np.abs(cases.truth - cases.predicted), both, out=np.zeros(len(both)), where=both > 0)


def pinball_losses(cases: "ForecastCases") -> np.ndarray:
    """Mean pinball loss of each row over the quantiles, [N].

    Raises:
        UndefinedError: The model gives one number.
    """
    over = cases.truth[:, None] - _bands(cases)
    levels = np.array(cases.quantiles)
    return np.maximum(levels * over, (levels - 1) * over).mean(axis=1)


def covered(cases: "ForecastCases") -> np.ndarray:
    """Whether the true value of each row is between the outer quantiles, [N]. Raises as `pinball_losses`."""
    bands = _bands(cases)
    return (cases.truth >= bands[:, 0]) & (cases.truth <= bands[:, -1])


def promised(cases: "ForecastCases") -> float:
    """Share of true values that should be between the outer quantiles."""
    return cases.quantiles[-1] - cases.quantiles[0]


def _bands(cases: "ForecastCases") -> np.ndarray:
    if cases.bands is None:
        raise UndefinedError("the forecast is one number for each row, without quantiles")
    return cases.bands
