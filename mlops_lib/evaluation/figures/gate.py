"""The figure of the gate: how far challenger and champion are apart, on all rows and on each slice."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.lines import Line2D

from mlops_lib.evaluation.figures.style import BASELINES, GREY, MODEL, STYLE, NotebookFigure, shorten
from mlops_lib.evaluation.verdict_text import AGAINST, WORDS
from mlops_lib.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlops_lib.evaluation.report import Comparison, Outcome, Verdict

#: Also told apart by marker, for print without colours.
COLORS: "dict[Outcome, tuple[str, str]]" = {
    "better": (BASELINES[1], "^"),
    "not_worse": (MODEL, "o"),
    "worse": (BASELINES[0], "v"),
    "undecided": (GREY, "s"),
}
SLICE_WIDTH, MAX_LINES = 28, 40


def differences(verdict: "Verdict") -> "Figure | None":
    """Challenger minus champion with its interval, a panel for each metric and a line for each slice.

    The dashed line marks 0, the dotted one the margin. At most 40 lines of a metric are drawn: all rows,
    then the slices with the lowest intervals. None without a comparison.
    """
    if not verdict.comparisons or verdict.champion is None:
        return None
    metrics = list(dict.fromkeys(one.metric for one in verdict.comparisons))
    of_metric = {name: _drawn([one for one in verdict.comparisons if one.metric == name]) for name in metrics}
    heights = [len(lines) + 1.2 for lines in of_metric.values()]
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(
            figsize=(7.5, 1.3 + 0.28 * sum(heights) + 0.35 * len(metrics)), layout="constrained"
        )
        panels = figure.subplots(len(metrics), 1, squeeze=False, height_ratios=heights)[:, 0]
        for name, axes in zip(metrics, panels, strict=True):
            _panel(axes, name, of_metric[name], verdict)
        found = verdict.outcome or "undecided"
        answer = f"{AGAINST[found].capitalize()} version {verdict.champion.version}; right of 0 the new model is better"
        figure.suptitle(
            f"How do the models differ on the same rows?\n{answer}", x=0.01, ha="left", fontsize=10
        )
        used = {one.outcome for lines in of_metric.values() for one in lines}
        handles = [
            Line2D([], [], color=color, marker=marker, label=WORDS[outcome])
            for outcome, (color, marker) in COLORS.items()
            if outcome in used
        ]
        handles.append(Line2D([], [], color=GREY, linestyle=":", label="margin"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        figure.finish()
    return figure


def _drawn(lines: "Sequence[Comparison]") -> "list[Comparison]":
    """All rows, then the slices, at most `MAX_LINES`: of more, those with the lowest intervals,
    in their own order."""
    if len(lines) <= MAX_LINES:
        return list(lines)
    low = sorted(lines, key=lambda one: (one.slice != "", one.low is not None, one.low or 0.0))[:MAX_LINES]
    return [one for one in lines if one in low]


def _panel(axes: "Axes", metric: str, lines: "list[Comparison]", verdict: "Verdict") -> None:
    axes.axvline(0, color="#444444", linestyle="--", linewidth=1)
    for place, one in enumerate(lines):
        color, marker = COLORS[one.outcome]
        axes.plot([-one.margin] * 2, [place - 0.4, place + 0.4], color=GREY, linestyle=":", linewidth=1.6)
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [place, place], color=color, linewidth=2, solid_capstyle="butt")
        if one.difference is not None:
            axes.plot(one.difference, place, marker, color=color, markersize=6)
        word = WORDS[one.outcome] if one.low is not None else f"{WORDS[one.outcome]}, no interval"
        axes.annotate(
            word, (1.01, place), xycoords=("axes fraction", "data"), color=color, va="center", fontsize=8
        )
    names = [f"{shorten(one.slice, SLICE_WIDTH) or 'all rows'} ({one.rows:,})" for one in lines]
    axes.set_yticks(range(len(lines)), names)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    left_out = sum(one.metric == metric for one in verdict.comparisons) - len(lines)
    more = f"; {left_out} slices are not drawn" if left_out else ""
    axes.set_xlabel(f"difference in {metric}, with its {percent(verdict.confidence)} interval{more}")
