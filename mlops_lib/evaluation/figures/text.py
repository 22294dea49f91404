"""Figure of a text evaluation: the distribution of scores over the rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from mlops_lib.evaluation.figures.style import MODEL, STYLE, NotebookFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS_WIDE = 3
BINS = 20


def distributions(values: Mapping[str, Sequence[float | None]]) -> "Figure":
    """Small multiples: rows by score for each metric.

    Args:
        values: Metric -> score of each row, None where there is none.
    """
    high = -(-len(values) // COLUMNS_WIDE)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.6 + 2.2 * high), layout="constrained")
        boxes = list(figure.subplots(high, COLUMNS_WIDE, squeeze=False).flat)
        for axes, (name, scores) in zip(boxes, values.items(), strict=False):
            known = np.array([score for score in scores if score is not None], dtype=float)
            missing = len(scores) - len(known)
            axes.set_title(name + (f" ({missing} of {len(scores)} rows without)" if missing else ""))
            axes.set(xlabel="score", ylabel="rows")
            if not len(known):
                continue
            # Nearly every metric ends at 1 or 100; the axis shows the whole range.
            top = 1.0 if known.max() <= 1 else max(100.0, float(known.max()))
            edges = np.linspace(min(0.0, float(known.min())), top, BINS + 1)
            axes.hist(known, edges, color=MODEL, alpha=0.85)
        for axes in boxes[len(values) :]:
            axes.axis("off")
        figure.suptitle("How do the scores spread over the rows?", x=0.01, ha="left", fontsize=10)
        figure.finish()
    return figure
