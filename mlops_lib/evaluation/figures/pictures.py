"""Images of a dataset for people: in a table of rows, as examples of each label,
and the worst mistakes of a model."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from mlops_lib.columns.images import ImageFile, upright
from mlops_lib.columns.part import BadValue
from mlops_lib.columns.schema import Column
from mlops_lib.evaluation.figures.style import STYLE, NotebookFigure, shorten

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Pictures in a row of a figure, labels that are shown, and the longest side of a picture, in pixels.
WIDE, MAX_LABELS, SIDE = 8, 10, 128
_FILE = ImageFile(Column("image", "image"), {})


def table(frame: "pd.DataFrame", kinds: Mapping[str, str]) -> Any:
    """Rows for a notebook, with small pictures in the place of images; without images the rows themselves.

    Args:
        frame: A few rows.
        kinds: Feature -> kind of the schema.
    """
    images = [name for name in frame.columns if kinds.get(name) == "image"]
    if not images:
        return frame
    formats = {name: _tag if name in images else lambda value: escape(str(value)) for name in frame.columns}
    return frame.style.format(formats)


def examples(frame: "pd.DataFrame", image: str, label: str) -> "Figure":
    """The first images of each value of a label, a row for each; of many values, images with the label above.

    Args:
        frame: Rows in the order of the dataset.
        image: Column of images.
        label: Column to predict.
    """
    values = frame[label].drop_duplicates().tolist()
    if len(values) <= MAX_LABELS and all(
        isinstance(value, str | bool | int | np.integer) for value in values
    ):
        shown = [frame[frame[label] == value][image].head(WIDE).tolist() for value in sorted(values)]
        rows = [
            (files, [f"{label} = {value}"] * len(files))
            for value, files in zip(sorted(values), shown, strict=True)
        ]
    else:
        spaced = frame.iloc[:: max(len(frame) // (3 * WIDE), 1)].head(3 * WIDE)
        parts = [spaced.iloc[at : at + WIDE] for at in range(0, len(spaced), WIDE)]
        rows = [(part[image].tolist(), [_text(value) for value in part[label]]) for part in parts]
    return grid(rows, f"What do the images of each {label} look like?")


def grid(rows: Sequence[tuple[Sequence[Any], Sequence[str]]], question: str) -> "Figure":
    """A figure with pictures in rows.

    Args:
        rows: Files and captions of each row.
        question: The title.
    """
    lines = max((text.count("\n") + 1 for _, texts in rows for text in texts), default=1)
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(9, 0.5 + (1.05 + 0.14 * lines) * len(rows)), layout="constrained")
        boxes = figure.subplots(len(rows), WIDE, squeeze=False)
        for axes in boxes.flat:
            axes.axis("off")
        for line, (files, texts) in zip(boxes, rows, strict=True):
            for axes, file, text in zip(line, files, texts, strict=False):
                axes.imshow(thumbnail(file), cmap="gray", vmin=0, vmax=255)
                axes.set_title("\n".join(shorten(one, 20) for one in text.split("\n")), fontsize=8, pad=2)
        figure.suptitle(question, x=0.01, ha="left", fontsize=10)
        figure.finish()
    return figure


def thumbnail(value: Any, side: int = SIDE) -> np.ndarray:
    """The pixels of an image, uint8 [height, width] or [height, width, 3], at most `side` on a side; of none,
    one grey pixel."""
    try:
        image = upright(_FILE.file(0, value), at_least=side)
    except (BadValue, ValueError):
        return np.full((1, 1), 200, dtype=np.uint8)
    image.thumbnail((side, side))
    return np.asarray(image)


def _tag(value: Any) -> str:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(thumbnail(value, SIDE // 2)).save(held, "PNG")
    return f'<img height="{SIDE // 2}" style="image-rendering: pixelated" src="data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}">'


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
