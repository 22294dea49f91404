"""The figure of a hyper-parameter search: what each trial scored, and with which values."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import matplotlib

from mlops_lib.evaluation.figures.style import BASELINES, GREY, MODEL, STYLE, TITLE_WIDTH, NotebookFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_WIDE, MAX_PANELS = 3, 9


def trials(
    scores: Sequence[float | None],
    values: Sequence[Mapping[str, Any]],
    metric: str,
    higher_is_better: bool,
    log: Sequence[str] = (),
) -> "Figure":
    """Score by trial with the best so far, and score by the value of each searched setting (the first eight).

    Args:
        scores: One for each trial, in order; None where the trial failed.
        values: The searched settings of each trial.
        metric: Name of the metric.
        higher_is_better: Which way the metric points.
        log: Settings that were searched on a logarithmic scale.
    """
    done = [(number, score) for number, score in enumerate(scores, 1) if score is not None]
    best = (max if higher_is_better else min)(done, key=lambda pair: pair[1])
    names = list(values[0])[: MAX_PANELS - 1]
    high = -(-(len(names) + 1) // PANELS_WIDE)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.9 + 2.3 * high), layout="constrained")
        first, *panels = figure.subplots(high, PANELS_WIDE, squeeze=False).flat
        first.plot(*zip(*done, strict=True), "o", color=MODEL, markersize=4, label="trial")
        keep = max if higher_is_better else min
        so_far = accumulate((score for _, score in done), keep)
        first.step([n for n, _ in done], list(so_far), where="post", color=BASELINES[0], label="best so far")
        for number, score in enumerate(scores, 1):
            if score is None:
                first.axvline(number, color=GREY, linestyle=":", linewidth=1)
        first.set(xlabel="trial", ylabel=f"validation {metric}")
        for name, axes in zip(names, panels, strict=False):
            _panel(axes, name, [values[number - 1][name] for number, _ in done], done, best, name in log)
        for axes in panels[len(names) :]:
            axes.axis("off")
        failed = f"; {len(scores) - len(done)} failed (dotted)" if len(done) < len(scores) else ""
        answer = f"Best validation {metric} {best[1]:.4f} in trial {best[0]} of {len(scores)}{failed}"
        lines = ("Which values score best, and did the search still improve?", answer)
        figure.suptitle(
            "\n".join(textwrap.fill(t, 2 * TITLE_WIDTH) for t in lines), x=0.01, ha="left", fontsize=10
        )
        handles, labels = first.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        figure.finish()
    return figure


def _panel(
    axes: "Axes", name: str, at: list[Any], done: list[tuple[int, float]], best: tuple[int, float], log: bool
) -> None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in at)
    kinds = sorted({str(value) for value in at})
    places = at if numbers else [kinds.index(str(value)) for value in at]
    axes.plot(places, [score for _, score in done], "o", color=MODEL, markersize=4)
    axes.plot(places[done.index(best)], best[1], "o", color=BASELINES[0], markersize=7)
    axes.set(xlabel=name.removeprefix("model.params."))
    if not numbers:
        axes.set_xticks(range(len(kinds)), kinds)
        axes.margins(x=0.15)
    elif log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda *_: "")
