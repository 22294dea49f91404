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
#: Metrics from 0 to 100.
PERCENT = ("bleu", "chrf")


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
            axes.hist(known, _edges(name, known), color=MODEL, alpha=0.85)
        for axes in boxes[len(values) :]:
            axes.axis("off")
        figure.suptitle("How do the scores spread over the rows?", x=0.01, ha="left", fontsize=10)
        figure.finish()
    return figure


def _edges(name: str, known: np.ndarray) -> np.ndarray:
    """Edges of the bins. Metrics of the platform end at 1 or 100, and the axis shows the whole range."""
    low, top = min(0.0, float(known.min())), float(known.max())
    if name in PERCENT:
        return np.linspace(low, 100.0, BINS + 1)
    return np.linspace(low, 1.0 if top <= 1 else np.ceil(top), BINS + 1)
