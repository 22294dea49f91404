"""Metrics of forecasts on many resamples at once (see `paired.classification` for the form);
and the dependence of their errors in time."""

import numpy as np

from mlops_lib.evaluation.forecast_cases import ForecastCases
from mlops_lib.evaluation.metrics import forecast
from mlops_lib.evaluation.paired.sums import Statistic, mean, ratio

#: An estimated autocorrelation is at most this: at 1 no interval is wide enough.
MAX_CORRELATION = 0.95


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


def widening(ours: ForecastCases, theirs: ForecastCases, rows: np.ndarray, blocks: np.ndarray) -> float:
    """How many times wider the interval must be where blocks of times depend on each other; 1 at the least.

    Takes the mean difference of the two models' errors at each time for an autoregressive process
    of first order.

    Args:
        ours, theirs: Forecasts of the same rows.
        rows: Positions of the compared rows, int [M].
        blocks: The block of times that each of them is in, int [M].
    """
    blocks_count = len(np.unique(blocks))
    if not len(ours.horizon) or blocks_count < 2:
        return 1.0
    both = ours.bands is not None and theirs.bands is not None
    mine, other = (
        forecast.pinball_losses(one) if both else np.abs(one.truth - one.predicted) for one in (ours, theirs)
    )
    weights = np.ones(len(rows)) if ours.weights is None else ours.weights[rows]
    step = np.unique(ours.horizon[rows], return_inverse=True)[1]
    sizes = np.bincount(step, weights)
    by_time = np.bincount(step, weights * (other - mine)[rows])[sizes > 0] / sizes[sizes > 0]
    times, around = len(by_time), by_time - by_time.mean()
    if not (spread := around @ around):
        return 1.0
    found = (around[1:] @ around[:-1]) / spread
    found += (1 + 4 * found) / times  # the estimate of few times is too low by that (Marriott and Pope 1954)
    correlation = min(max(found, 0.0), MAX_CORRELATION)
    whole = _variance_of_mean(times, correlation)
    of_block = _variance_of_mean(max(round(times / blocks_count), 1), correlation)
    # The bootstrap takes blocks for independent, and finds the variance (of_block - whole) / (blocks - 1).
    return max(float(np.sqrt(whole * (blocks_count - 1) / (of_block - whole))), 1.0)


def _variance_of_mean(times: int, correlation: float) -> float:
    """Variance of the mean of so many consecutive values of the process, whose own variance is 1."""
    lags = np.arange(1, times)
    return float((1 + 2 * ((1 - lags / times) * correlation**lags).sum()) / times)
