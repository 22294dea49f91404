"""Figures of a classification: ROC curve, precision and recall, confusion matrix."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics as sk

from mlops_lib.evaluation.cases import ClassificationCases
from mlops_lib.evaluation.figures import style
from mlops_lib.evaluation.metrics.classification import accuracy, average_precision, roc_auc

GRID = np.linspace(0, 1, 501)
COUNTED_CLASSES, NAMED_CLASSES = 4, 12


def roc(cases: ClassificationCases, baselines: Mapping[str, ClassificationCases]) -> Figure:
    """True against false positive rate (sklearn.metrics.roc_curve); mean of one-vs-rest for C > 2 classes."""
    two = len(cases.classes) == 2
    question = f"How well does it rank {_pair(cases)}?" if two else "How well does it tell the classes apart?"
    answer = f"ROC AUC {roc_auc(cases):.3f}" + (
        "" if two else f", mean of {len(cases.columns)} classes against the rest"
    )
    one = f"class {style.shorten(cases.classes[1])}" if two else "each class"
    with style.chart(
        question,
        answer,
        "share of the others flagged (false positive rate)",
        f"share of {one} found (recall)",
    ) as (figure, axes):
        style.shares(axes)
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8)
        axes.annotate("chance", (0.9, 0.87), color=style.GREY, fontsize=8, va="top")
        _curves(axes, cases, baselines, _roc_curve, roc_auc)
    return figure


def precision_recall(cases: ClassificationCases, baselines: Mapping[str, ClassificationCases]) -> Figure:
    """Precision at each recall (sklearn.metrics.precision_recall_curve); mean of one-vs-rest for C > 2."""
    two = len(cases.classes) == 2
    one = f"class {style.shorten(cases.classes[1])}" if two else "each class"
    chance = np.average(cases.one_hot[:, cases.columns].mean(axis=1), weights=cases.weights)
    answer = f"average precision {average_precision(cases):.3f}, by chance {chance:.3f}"
    with style.chart(
        f"How many false alarms does finding {one} cost?",
        answer,
        f"share of {one} found (recall)",
        "share of flagged correct (precision)",
    ) as (figure, axes):
        style.shares(axes)
        axes.axhline(chance, color=style.GREY, linewidth=0.8)
        va, offset = ("top", -2) if chance > 0.1 else ("bottom", 2)
        axes.annotate(
            "chance", (0.01, chance), xytext=(0, offset), textcoords="offset points", va=va,
            color=style.GREY, fontsize=8,
        )  # fmt: skip
        _curves(axes, cases, baselines, _precision_curve, average_precision)
    return figure


def confusion(cases: ClassificationCases) -> Figure:
    """Rows by true and most probable class, as shares of the true class, with counts if they fit.

    Weights change the accuracy in the title, not the counts.
    """
    size = len(cases.classes)
    counts = np.bincount(cases.codes * size + cases.predicted, minlength=size * size).reshape(size, size)
    rows = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(rows, 1)
    answer = f"accuracy {accuracy(cases):.3f}; in the cells: share of the true class"
    rule = f"{style.shorten(cases.classes[1])} above 0.5" if size == 2 else "the most probable"
    question = "Which classes does it confuse?"
    with style.chart(question, answer, f"predicted class ({rule})", "true class") as (figure, axes):
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        ticks = np.arange(0, size, -(-size // NAMED_CLASSES))
        names = [style.shorten(cases.classes[tick], 10) for tick in ticks]
        axes.set_xticks(ticks, names, rotation=0 if sum(map(len, names)) < 40 else 45)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        if size > NAMED_CLASSES:
            figure.colorbar(image).outline.set_visible(False)
            return figure
        for border in np.arange(size - 1) + 0.5:
            axes.axhline(border, color="white", linewidth=1.5)
            axes.axvline(border, color="white", linewidth=1.5)
        for (row, column), value in np.ndenumerate(share):
            text = f"{value:.0%}"
            if size <= COUNTED_CLASSES:
                text += f"\n{counts[row, column]:,} of {rows[row, 0]:,}"
            colour = "white" if value > 0.6 else "#222222"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure


def _curves(
    axes: Axes,
    cases: ClassificationCases,
    baselines: Mapping[str, ClassificationCases],
    curve: Callable,
    area: Callable,
) -> None:
    """Draw `curve` of the model and of the baselines, labelled with `area`;
    the model's thick line is below."""
    axes.plot(
        *curve(cases, cases.columns), color=style.MODEL, linewidth=2.4, label=f"model {area(cases):.3f}"
    )
    for position, (name, other) in enumerate(baselines.items()):
        label = f"{style.shorten(name)} {area(other):.3f}"
        axes.plot(*curve(other, other.columns), **style.baseline_style(position), label=label)
    if len(cases.classes) > 2:
        for column in cases.columns:
            first = column == cases.columns[0]
            named: dict[str, Any] = {"label": "model, each class"} if first else {}
            axes.plot(
                *curve(cases, [column]), color=style.MODEL, alpha=0.25, linewidth=0.8, zorder=1.5, **named
            )


def _roc_curve(cases: ClassificationCases, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    curves = [
        sk.roc_curve(cases.codes == column, cases.probabilities[:, column], sample_weight=cases.weights)[:2]
        for column in columns
    ]
    if len(curves) == 1:
        return curves[0]
    return GRID, np.mean([np.interp(GRID, x, y) for x, y in curves], axis=0)


def _precision_curve(cases: ClassificationCases, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Precision at the next recall reached: the step function whose area is the average precision."""
    steps = []
    for column in columns:
        precision, recall, _ = sk.precision_recall_curve(
            cases.codes == column, cases.probabilities[:, column], sample_weight=cases.weights
        )
        # The last point, precision 1 at recall 0, is a convention that no threshold reaches.
        recall, precision = recall[-2::-1], precision[-2::-1]
        steps.append(precision[np.searchsorted(recall, GRID[1:], side="left")])
    return GRID[1:], np.mean(steps, axis=0)


def _pair(cases: ClassificationCases) -> str:
    negative, positive = (style.shorten(name) for name in cases.classes)
    return f"class {positive} above class {negative}"
