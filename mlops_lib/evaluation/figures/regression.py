"""Figures of a regression: predictions against the truth, and residuals."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from sklearn import metrics as sk

from mlops_lib.evaluation.cases import RegressionCases
from mlops_lib.evaluation.figures import style

SCATTERED_ROWS = 1500


def predicted_vs_true(cases: RegressionCases, baselines: Mapping[str, np.ndarray]) -> Figure:
    """Predictions against the truth (each [N], unit of the target), both axes alike."""
    truth, predicted, weights = cases
    rmse = {
        style.shorten(name): sk.root_mean_squared_error(truth, values, sample_weight=weights)
        for name, values in {"model": predicted, **baselines}.items()
    }
    answer = "RMSE: " + ", ".join(f"{name} {value:.4g}" for name, value in rmse.items())
    question = "How close do predictions come to the truth?"
    xlabel, ylabel = "true value (unit of the target)", "predicted value (unit of the target)"
    with style.chart(question, answer, xlabel, ylabel) as (figure, axes):
        both = np.concatenate([truth, predicted])
        margin = 0.03 * np.ptp(both) or 1.0
        limits = (both.min() - margin, both.max() + margin)
        _points(figure, axes, truth, predicted, (*limits, *limits))
        axes.set(xlim=limits, ylim=limits)
        axes.plot(limits, limits, color="#444444", linewidth=0.9, linestyle="--", label="predicted = true")
    return figure


def residuals(cases: RegressionCases) -> Figure:
    """True minus predicted against predicted (unit of the target), with the spread along the way."""
    predicted, error = cases.predicted, cases.truth - cases.predicted
    half, mean = np.median(np.abs(error)), np.average(error, weights=cases.weights)
    answer = f"mean error {mean:.3g}, half of the rows within ±{half:.3g}"
    question = "Where is it too high, where too low?"
    xlabel, ylabel = "predicted value (unit of the target)", "true − predicted (unit of the target)"
    with style.chart(question, answer, xlabel, ylabel) as (figure, axes):
        low, high = min(error.min(), 0.0), max(error.max(), 0.0)
        pad_x, pad_y = 0.03 * np.ptp(predicted) or 1.0, 0.05 * (high - low) or 1.0
        x, y = (predicted.min() - pad_x, predicted.max() + pad_x), (low - pad_y, high + pad_y)
        _points(figure, axes, predicted, error, (*x, *y))
        axes.set(xlim=x, ylim=y)
        axes.axhline(0, color="#444444", linewidth=0.9, linestyle="--", label="no error")
        middle, lower, median, upper = _spread(predicted, error)
        axes.errorbar(
            middle,
            median,
            [median - lower, upper - median],
            color=style.BASELINES[0],
            marker="o",
            markersize=3.5,
            linewidth=1.4,
            label="median, and 80% of rows",
        )
    return figure


def _points(
    figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray, extent: tuple[float, float, float, float]
) -> None:
    if len(x) <= SCATTERED_ROWS:
        axes.scatter(x, y, s=9, color=style.MODEL, alpha=0.45, linewidths=0, label="rows")
    else:
        # Thousands of dots hide how many lie on top of each other.
        cmap = LinearSegmentedColormap.from_list("rows", ["#BFD9EC", "#08306B"])
        cells = axes.hexbin(x, y, gridsize=(40, 24), extent=extent, cmap=cmap, bins="log", mincnt=1)
        figure.colorbar(cells, label="rows per cell", format="{x:,.0f}").outline.set_visible(False)


def _spread(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Median of x, and 10, 50 and 90 % quantiles of y, in up to ten bins of equal size: [4, B]."""
    group = style.bins(x)
    rows = [(x[group == g], y[group == g]) for g in np.unique(group)]
    return np.array([[np.median(a), *np.quantile(b, [0.1, 0.5, 0.9])] for a, b in rows]).T
