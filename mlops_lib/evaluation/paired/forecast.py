"""Metrics of forecasts on many resamples at once; see `paired.classification` for the form."""

import numpy as np

from mlops_lib.evaluation.forecast_cases import ForecastCases
from mlops_lib.evaluation.metrics import forecast
from mlops_lib.evaluation.paired.sums import Statistic, mean, ratio


def mase(cases: ForecastCases) -> Statistic:
    return mean(*forecast.scaled_errors(cases))


def wape(cases: ForecastCases) -> Statistic:
    weights = np.ones(len(cases.truth)) if cases.weights is None else cases.weights
    sums = np.column_stack([np.abs(cases.truth - cases.predicted), np.abs(cases.truth)]) * weights[:, None]

    def values(counts: np.ndarray) -> np.ndarray:
        errors, sizes = (counts @ sums).T
        return ratio(errors, sizes)

    return values


def smape(cases: ForecastCases) -> Statistic:
    return mean(forecast.symmetric_errors(cases), cases.weights)


def pinball(cases: ForecastCases) -> Statistic | None:
    """None for a model that gives one number: its metric then says why it has no value."""
    return None if cases.bands is None else mean(forecast.pinball_losses(cases), cases.weights)


def coverage_error(cases: ForecastCases) -> Statistic | None:
    """None as `pinball`."""
    if cases.bands is None:
        return None
    share = mean(forecast.covered(cases).astype(float), cases.weights)
    return lambda counts: np.abs(share(counts) - forecast.promised(cases))
