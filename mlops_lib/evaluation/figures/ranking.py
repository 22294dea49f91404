"""Figures of rankings: how relevant the first places are, and how the groups differ."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.figures.style import GREY, MODEL, baseline_style, chart, shorten
from mlops_lib.evaluation.metrics.ranking import mean_relevance, ndcg_by_group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlops_lib.evaluation.ranking_cases import RankingCases


def places(cases: "RankingCases", baselines: "Mapping[str, RankingCases]") -> "Figure":
    """Mean relevance at each of the first places, of model and baselines, beside the best order."""
    own, best = mean_relevance(cases), mean_relevance(cases._replace(predicted=cases.truth))
    from matplotlib.ticker import MaxNLocator

    with chart(
        "Are the first rows the relevant ones?",
        f"Mean relevance at place 1: {own[0]:.3g}; best possible {best[0]:.3g}",
        "place in the group",
        "mean relevance",
    ) as (figure, axes):
        at = np.arange(1, len(own) + 1)
        axes.plot(at, best, ":", color=GREY, label="best order")
        for position, (name, other) in enumerate(baselines.items()):
            axes.plot(at, mean_relevance(other), label=shorten(name), **baseline_style(position))
        axes.plot(at, own, "o-", color=MODEL, label="model", markersize=4)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def groups(cases: "RankingCases") -> "Figure":
    """Number of groups by NDCG."""
    values = ndcg_by_group(cases)
    values = values[~np.isnan(values)]
    answer = f"Half of {len(values):,} groups are above {np.median(values):.3f}, a tenth below {np.quantile(values, 0.1):.3f}"
    with chart("Is every group ranked well?", answer, f"NDCG at {cases.k}", "groups") as (figure, axes):
        axes.hist(values, np.linspace(0, 1, 21).tolist(), color=MODEL)
        axes.axvline(values.mean(), color="#444444", linestyle="--", linewidth=1, label="mean")
    return figure
