"""One style for every figure: plain axes, colours that colour-blind people can distinguish, no pyplot state.

Figures are ``matplotlib.figure.Figure`` objects of 5 by 3.6 inches. They need no display,
and no global state keeps them in memory.
"""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlops_lib.evaluation.figures import fonts

# Okabe and Ito (2008), "Color Universal Design".
MODEL, GREY = "#0072B2", "#8A8A8A"
BASELINES = ("#D55E00", "#009E73", "#CC79A7", "#E69F00")
DASHES = ("--", (0, (1, 1.2)), "-.", (0, (5, 1, 1, 1, 1, 1)))
TITLE_WIDTH, NAME_WIDTH = 58, 16

STYLE: dict[Any, Any] = {  # matplotlib types the keys as a long Literal
    "figure.figsize": (5.0, 3.6),
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.family": fonts.families(),
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,  # a label such as "$5-$10" is text, not mathematics
}


class NotebookFigure(Figure):
    """A Figure that a notebook shows as the result of a cell, without pyplot."""

    _drawn: bytes = b""

    def finish(self) -> None:
        """Lay the figure out and draw it, once: each later drawing would lay it out again.
        Called inside the style's context."""
        _ = self.png
        self.set_layout_engine("none")
        self.stale = False

    @property
    def png(self) -> bytes:
        """The figure as a PNG file, drawn again only after a change:
        notebook and MLflow show the same one."""
        if self.stale or not self._drawn:
            buffer = io.BytesIO()
            FigureCanvasAgg(self).print_png(buffer)  # `savefig` draws twice
            self._drawn, self.stale = buffer.getvalue(), False
        return self._drawn

    def draw(self, renderer: Any) -> None:
        with fonts.one_warning():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return self.png


@contextmanager
def chart(question: str, answer: str, xlabel: str, ylabel: str) -> Iterator[tuple[Figure, Axes]]:
    """Open a figure with one set of axes, and finish it at the end of the block.

    The title is the question that the figure answers, and the answer in numbers.
    The legend is below the axes.
    """
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_title("\n".join(textwrap.fill(text, TITLE_WIDTH) for text in (question, answer)))
        yield figure, axes
        handles, names = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside lower center", ncols=min(len(handles), 3))
        # Ticks and layout are made by the first draw, which must happen inside the style's context.
        figure.finish()


def shares(axes: Axes) -> None:
    """Set both axes to 0 to 1, with room for lines on the border."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))


def baseline_style(position: int) -> dict[str, Any]:
    """Colour and dashes of the n-th baseline, which also differ in black and white."""
    turn = position % len(BASELINES)
    return {"color": BASELINES[turn], "linestyle": DASHES[turn], "linewidth": 1.6}


def bins(values: np.ndarray) -> np.ndarray:
    """Number (int [N]) of the quantile bin each value falls into: up to ten bins of 20 rows or more.

    Equal values share a bin, so ties can make bins larger, smaller or fewer.
    """
    count = int(np.clip(len(values) // 20, 1, 10))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, values, side="left")


def shorten(name: Any, width: int = NAME_WIDTH) -> str:
    """A class or baseline name cut to `width` characters, so that it fits on an axis."""
    text = str(name)
    return text if len(text) <= width else text[: width - 1] + "…"
