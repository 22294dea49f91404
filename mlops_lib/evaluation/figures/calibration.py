"""Calibration: predicted against observed shares, bin by bin."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mlops_lib.evaluation.cases import ClassificationCases
from mlops_lib.evaluation.figures import style
from mlops_lib.evaluation.metrics.classification import brier

Z95 = 1.96


class Bins(NamedTuple):
    """Rows grouped by probability: mean probability, observed share, and its 95 % interval, each [B]."""

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability(probability: np.ndarray, happened: np.ndarray, weights: np.ndarray | None = None) -> Bins:
    """Group rows into up to ten bins of equal size (20 rows or more), equal probabilities together.

    The interval is Wilson's (1927), which stays within 0 and 1 also for a bin in which all rows agree.
    Weights change the means of a bin, and not the number of rows that the interval counts.
    """
    _, group, rows = np.unique(style.bins(probability), return_inverse=True, return_counts=True)
    weights = np.ones(len(group)) if weights is None else weights
    total = np.bincount(group, weights)
    # Rows of weight 0 alone in a bin: their plain mean.
    weights = np.where(total[group] > 0, weights, 1.0)
    total = np.bincount(group, weights)
    predicted = np.bincount(group, weights * probability) / total
    observed = np.bincount(group, weights * happened) / total
    centre = (observed + Z95**2 / (2 * rows)) / (1 + Z95**2 / rows)
    spread = observed * (1 - observed) / rows + Z95**2 / (4 * rows**2)
    half = Z95 * np.sqrt(spread) / (1 + Z95**2 / rows)
    # Rounding can put the bound of a bin with equal outcomes slightly inside the observed share.
    return Bins(predicted, observed, np.minimum(centre - half, observed), np.maximum(centre + half, observed))


def calibration(cases: ClassificationCases) -> Figure:
    """Observed against predicted share; of the most probable class for C > 2 (Guo et al. 2017)."""
    two = len(cases.classes) == 2
    probability = cases.probabilities[:, 1] if two else cases.probabilities.max(axis=1)
    happened = cases.codes == 1 if two else cases.predicted == cases.codes
    bins = reliability(probability, happened, cases.weights)
    name = f"class {style.shorten(cases.classes[1])}" if two else "the most probable class"
    question = "Do its probabilities come true?"
    means = (np.average(values, weights=cases.weights) for values in (probability, happened))
    answer = "mean predicted {:.3f}, observed {:.3f}".format(*means) + f"; Brier {brier(cases):.3f}"
    xlabel = f"predicted probability of {name}"
    ylabel = f"observed share of {name}" if two else "share of rows where it is right"
    with style.chart(question, answer, xlabel, ylabel) as (figure, axes):
        style.shares(axes)
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8)
        axes.annotate("predictions too low", (0.03, 0.95), color=style.GREY, fontsize=8, va="top")
        axes.annotate("predictions too high", (0.97, 0.03), color=style.GREY, fontsize=8, ha="right")
        whiskers = [bins.observed - bins.low, bins.high - bins.observed]
        label = f"model, about {len(cases.codes) / len(bins.observed):,.0f} rows a point, 95% interval"
        axes.errorbar(
            bins.predicted, bins.observed, whiskers, color=style.MODEL, marker="o", markersize=4, label=label
        )
    return figure
