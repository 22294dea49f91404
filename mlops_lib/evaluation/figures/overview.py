"""Figures of the notebooks for every task: training, versions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_lib.evaluation.figures.style import GREY, MODEL, baseline_style, chart
from mlops_lib.evaluation.verdict_text import score_and_threshold, score_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(history: Mapping[str, Sequence[tuple[int, float]]]) -> "Figure":
    """Training and validation loss by step.

    Args:
        history: Metric name -> (step, value) pairs in order.
    """
    curves = {name: points for name, points in history.items() if points}
    with chart(
        "Did training converge without overfitting?",
        _convergence(curves),
        "optimisation steps",
        "loss",
    ) as (figure, axes):
        for position, (name, points) in enumerate(curves.items()):
            style = {"color": MODEL, "linewidth": 1.8} if name == "val_loss" else baseline_style(position)
            axes.plot(*zip(*points, strict=True), label=name, marker="" if len(points) > 1 else "o", **style)
        if best := min(curves.get("val_loss", ()), key=lambda point: point[1], default=None):
            axes.plot(*best, "o", color=MODEL, label="kept: lowest val_loss", markersize=6)
    return figure


def _convergence(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    if "val_loss" not in curves:
        return ""
    points = curves["val_loss"]
    best = min(range(len(points)), key=lambda i: points[i][1])
    return f"Lowest val_loss {score_text(points[best][1])} in epoch {best + 1} of {len(points)}"


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
    score, limit = score_and_threshold(scores[current], threshold)
    with chart(
        "How does this version compare with those before it?",
        f"Version {current}: {metric} {score}, threshold {limit}; highest is version {best}",
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
