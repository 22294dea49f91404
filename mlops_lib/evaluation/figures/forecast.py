"""Figures of forecasts: true values and forecasts over time, and the error by steps ahead."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from mlops_lib.evaluation.figures.style import (
    GREY,
    MODEL,
    STYLE,
    NotebookFigure,
    baseline_style,
    chart,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlops_lib.evaluation.forecast_cases import ForecastCases

PANELS, NAME_WIDTH = 4, 40
#: Steps beyond which the error is a mean over several steps.
MAX_STEPS = 40


def series(cases: "ForecastCases") -> "Figure":
    """True values and forecasts over time of up to four series,
    from the largest mean absolute error to the smallest."""
    weights = np.ones(len(cases.truth)) if cases.weights is None else cases.weights
    sizes = np.bincount(cases.series, weights)
    sums = np.bincount(cases.series, weights * np.abs(cases.truth - cases.predicted))
    errors = np.divide(sums, sizes, out=np.zeros(len(sums)), where=sizes > 0)
    order = np.argsort(-errors, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(PANELS, len(order))).astype(int))]
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.9 + 1.9 * len(shown)), layout="constrained")
        for number, axes in zip(shown, figure.subplots(len(shown), 1, squeeze=False).flat, strict=True):
            rows = np.flatnonzero(cases.series == number)
            at = _axis(cases.times[rows])
            rows, at = rows[np.argsort(at, kind="stable")], np.sort(at)
            if cases.bands is not None:
                label = f"quantiles {cases.quantiles[0]:g} to {cases.quantiles[-1]:g}"
                low, high = cases.bands[rows, 0], cases.bands[rows, -1]
                axes.fill_between(at, low, high, color=MODEL, alpha=0.18, linewidth=0, label=label)
            axes.plot(at, cases.truth[rows], "o-", color=GREY, markersize=2.5, linewidth=1, label="true")
            axes.plot(at, cases.predicted[rows], color=MODEL, label="forecast")
            name = shorten(cases.names[number], NAME_WIDTH)
            axes.set_title(f"{name}{': ' if name else ''}mean absolute error {errors[number]:.4g}")
        which = (
            f"{len(shown)} of {len(order)} series, from the largest error to the smallest"
            if len(order) > 1
            else ""
        )
        figure.suptitle("Does the forecast follow the true values?\n" + which, x=0.01, ha="left", fontsize=10)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.finish()
    return figure


def horizon(cases: "ForecastCases", baselines: "Mapping[str, ForecastCases]") -> "Figure":
    """Mean absolute error by steps after the last known time, of model and baselines."""
    width = -(-int(np.ptp(cases.horizon) + 1) // MAX_STEPS)
    group = (cases.horizon - cases.horizon.min()) // width
    weights = np.ones(len(group)) if cases.weights is None else cases.weights
    sizes = np.bincount(group, weights)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, weights * values)[sizes > 0] / sizes[sizes > 0]

    def errors(of: "ForecastCases") -> np.ndarray:
        return mean(np.abs(of.truth - of.predicted))

    own = errors(cases)
    with chart(
        "Does the error grow with time?",
        f"From {own[0]:.4g} to {own[-1]:.4g}" + (f"; each point is {width} steps" if width > 1 else ""),
        "steps after the last known time",
        "mean absolute error",
    ) as (figure, axes):
        for position, (name, other) in enumerate(baselines.items()):
            axes.plot(mean(cases.horizon), errors(other), label=shorten(name), **baseline_style(position))
        axes.plot(mean(cases.horizon), own, "o-", color=MODEL, label="model", markersize=3)
        axes.set_ylim(bottom=0)
    return figure


def _axis(times: np.ndarray) -> np.ndarray:
    """Times as numbers, or as dates."""
    try:
        return times.astype(float)
    except ValueError:
        return times.astype("datetime64[s]")
