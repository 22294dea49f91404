"""Figures of several labels: which are predicted well, and which are not."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from mlops_lib.evaluation.figures.style import GREY, MODEL, STYLE, NotebookFigure, shorten
from mlops_lib.evaluation.metrics.multilabel import ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlops_lib.evaluation.label_cases import LabelCases

MAX_LABELS, COLUMNS_WIDE, NAME_WIDTH, MAX_POINTS = 30, 3, 28, 2_000


def average_precisions(cases: "LabelCases") -> "Figure":
    """Average precision of each label, from the best to the worst, beside the share of rows that have it.

    At most 30 labels: those with the most rows.
    """
    from sklearn.metrics import average_precision_score

    places = sorted(ranked(cases), key=lambda place: -cases.truth[:, place].sum())[:MAX_LABELS]
    shares = {p: float(np.average(cases.truth[:, p], weights=cases.weights)) for p in places}
    scores = {p: average_precision_score(*cases.column(p), sample_weight=cases.weights) for p in places}
    places.sort(key=lambda place: scores[place])
    mean = f"mean {np.mean(list(scores.values())):.3f}" if scores else "no label has rows of both kinds"
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(6.5, 1.5 + 0.26 * max(len(places), 1)), layout="constrained")
        axes = figure.subplots()
        lines = range(len(places))
        axes.plot([shares[p] for p in places], lines, "|", color=GREY, markersize=12, label="by chance")
        axes.plot([scores[p] for p in places], lines, "o", color=MODEL, label="model")
        axes.set_yticks(lines, [shorten(cases.names[p], NAME_WIDTH) for p in places])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.7, len(places) - 0.3), xlabel="average precision")
        left_out = f", the {len(places)} with the most rows" if len(places) == MAX_LABELS else ""
        figure.suptitle(
            f"Which labels does it find?\naverage precision, {mean}{left_out}", x=0.01, ha="left", fontsize=10
        )
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.finish()
    return figure


def predicted_vs_true(cases: "LabelCases") -> "Figure":
    """Predictions against the truth, a panel for each label in its own unit;
    at most 12 labels and 2,000 rows."""
    shown = list(range(len(cases.names)))[:12]
    step = -(-len(cases.truth) // MAX_POINTS)
    high = -(-len(shown) // COLUMNS_WIDE)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.9 + 2.6 * high), layout="constrained")
        boxes = list(figure.subplots(high, COLUMNS_WIDE, squeeze=False).flat)
        for place, axes in zip(shown, boxes, strict=False):
            truth, predicted = cases.column(place)
            both = np.concatenate([truth, predicted])
            margin = 0.03 * np.ptp(both) or 1.0
            limits = (both.min() - margin, both.max() + margin)
            axes.scatter(truth[::step], predicted[::step], s=8, color=MODEL, alpha=0.45, linewidths=0)
            axes.plot(limits, limits, color="#444444", linewidth=0.9, linestyle="--")
            axes.set(xlim=limits, ylim=limits, xlabel="true", ylabel="predicted")
            correlation = (
                np.corrcoef(truth, predicted)[0, 1] if np.ptp(truth) and np.ptp(predicted) else np.nan
            )
            axes.set_title(f"{shorten(cases.names[place], NAME_WIDTH)} (r {correlation:.2f})")
        for axes in boxes[len(shown) :]:
            axes.axis("off")
        answer = (
            f"{len(shown)} of {len(cases.names)} labels"
            if len(shown) < len(cases.names)
            else "every label in its unit"
        )
        figure.suptitle(
            f"How close do predictions come to the truth?\n{answer}; the dashed line is the truth",
            x=0.01, ha="left", fontsize=10,
        )  # fmt: skip
        figure.finish()
    return figure
