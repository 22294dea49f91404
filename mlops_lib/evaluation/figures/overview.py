"""Figures of the notebooks for every task: data, training, versions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from mlops_lib.evaluation.figures.style import (
    BASELINES,
    GREY,
    MODEL,
    STYLE,
    NotebookFigure,
    baseline_style,
    chart,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLUMNS = 12
COLUMNS_WIDE = 4
FEW_VALUES = 10


def distributions(frame: "pd.DataFrame", label: str, features: Sequence[str]) -> "Figure":
    """Small multiples: the distribution of each feature, by label value if the label has few values.

    Args:
        frame: Rows with the features and the label.
        label: Name of the label column.
        features: Columns to draw, the first 12 of them; of an array, the mean of its numbers.
    """
    shown = list(features)[:MAX_COLUMNS]
    frame = _means(frame[[*shown, label]], shown)
    few = frame[label].nunique() <= FEW_VALUES
    groups = sorted(frame[label].unique())[: len(BASELINES) + 1] if few else [None]
    high = -(-len(shown) // COLUMNS_WIDE)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.7 + 1.9 * high), layout="constrained")
        boxes = figure.subplots(high, COLUMNS_WIDE, squeeze=False).flat
        for name, axes in zip(shown, boxes, strict=False):
            for group, colour in zip(groups, (MODEL, *BASELINES), strict=False):
                values = frame[name] if group is None else frame.loc[frame[label] == group, name]
                _histogram(
                    axes, values, frame[name], colour, "all rows" if group is None else f"{label} = {group}"
                )
            axes.set(title=name, yticks=[])
            axes.grid(visible=False)
        for axes in list(boxes):
            axes.axis("off")
        figure.suptitle(f"Which features tell the values of {label} apart?", x=0.01, ha="left", fontsize=10)
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.draw_without_rendering()
    return figure


def _histogram(axes: "Axes", values: "pd.Series", every: "pd.Series", colour: str, name: str) -> None:
    """Share of rows by value. The bins span 98 % of the rows, so that a long tail does not flatten the rest."""
    if every.dtype.kind not in "biuf":
        values, every = _countable(values), _countable(every)
        counts = values.value_counts(normalize=True).reindex(every.value_counts().index[:8], fill_value=0)
        axes.plot(range(len(counts)), counts, "o", color=colour, label=name, markersize=4)
        axes.set_xticks(range(len(counts)), [str(value)[:8] for value in counts.index], rotation=45)
        return
    known = every.dropna().astype(float)
    finite = known[np.isfinite(known)]
    low, high = np.quantile(finite, [0.01, 0.99]) if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 25)
    clipped = values.dropna().astype(float).clip(edges[0], edges[-1])
    shares = np.histogram(clipped, edges)[0] / max(len(clipped), 1)
    axes.stairs(shares, edges, color=colour, label=name, linewidth=1.4)


def _countable(column: "pd.Series") -> "pd.Series":
    """The values; as text where they cannot be counted, such as dictionaries."""
    try:
        column.nunique()
    except TypeError:
        return column.map(str).where(column.notna())
    return column


def _means(frame: "pd.DataFrame", features: Sequence[str]) -> "pd.DataFrame":
    """The rows with each array as the mean of its numbers."""
    import pandas as pd

    def mean(value: Any) -> float:
        try:
            return float(np.mean(np.asarray(value, dtype=float))) if np.size(value) else np.nan
        except (TypeError, ValueError):  # text in lists
            return np.nan

    arrays = [
        name for name in features if frame[name].dtype == object and frame[name].map(np.ndim).gt(0).any()
    ]
    return frame.assign(**{name: pd.Series(frame[name].map(mean), dtype=float) for name in arrays})


def learning_curves(history: Mapping[str, Sequence[tuple[int, float]]]) -> "Figure":
    """Training and validation loss by step, or a note that a model is fitted in one step.

    Args:
        history: Metric name -> (step, value) pairs in order.
    """
    curves = {name: points for name, points in history.items() if len(points) > 1}
    with chart(
        "Did training converge without overfitting?",
        _convergence(curves) if curves else "This model is fitted in one step; there is no curve to show.",
        "optimisation steps",
        "loss",
    ) as (figure, axes):
        for position, (name, points) in enumerate(curves.items()):
            style = {"color": MODEL, "linewidth": 1.8} if name == "val_loss" else baseline_style(position)
            axes.plot(*zip(*points, strict=True), label=name, **style)
        if best := min(curves.get("val_loss", ()), key=lambda point: point[1], default=None):
            axes.plot(*best, "o", color=MODEL, label="kept: lowest val_loss", markersize=6)
        if not curves:
            axes.set(xticks=[], yticks=[])
    return figure


def _convergence(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    if "val_loss" not in curves:
        return ""
    points = curves["val_loss"]
    best = min(range(len(points)), key=lambda i: points[i][1])
    return f"Lowest val_loss {points[best][1]:.4f} in epoch {best + 1} of {len(points)}"


def versions(scores: Mapping[int, float], metric: str, threshold: float, current: int) -> "Figure":
    """Score of every registered version, the new one filled, with the gate's threshold.

    Args:
        scores: Version -> score on the test split.
        metric: Name of the metric.
        threshold: Score that the gate asks for.
        current: The version that was just registered.
    """
    order = sorted(scores)
    best = max(order, key=lambda version: (scores[version], version))
    with chart(
        "How does this version compare with those before it?",
        f"Version {current}: {metric} {scores[current]:.4f}, threshold {threshold:g}; highest is version {best}",
        "version",
        f"{metric} on the test split",
    ) as (figure, axes):
        axes.axhline(threshold, color=GREY, linestyle="--", linewidth=1.2, label="threshold")
        axes.plot(
            order, [scores[v] for v in order], "o-", color=MODEL, mfc="white", label="versions", linewidth=1
        )
        axes.plot(current, scores[current], "o", color=MODEL, label="this version", markersize=8)
        axes.set_xticks(order[:: -(-len(order) // 12)])
    return figure
