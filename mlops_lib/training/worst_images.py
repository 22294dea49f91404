"""A figure of the images that a model is furthest from."""

from collections.abc import Sequence
from typing import Any

from mlops_lib.evaluation.worst import mistakes
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.training.judged_rows import Collector

#: Most rows of pictures.
MAX_ROWS = 3


def worst_images(
    data_loader: BaseDataLoader, task: str, split: Split, rows: Collector, classes: Sequence[Any]
) -> dict[str, Any]:
    """A figure of the images that the model is furthest from; none without images or mistakes."""
    images = [name for name, kind in data_loader.schema.kinds.items() if kind == "image"]
    if not images:
        return {}
    from mlops_lib.evaluation.figures import pictures

    found = mistakes(task, rows.truth, rows.predicted, classes, MAX_ROWS * pictures.WIDE)
    if not found:
        return {}
    files: dict[int, Any] = {}
    first, wanted = 0, sorted(one.row for one in found)
    for part in data_loader.parts(split):
        here = [row for row in wanted if first <= row < first + len(part)]
        files |= {row: part[images[0]].iloc[row - first] for row in here}
        first += len(part)
    parts = [found[at : at + pictures.WIDE] for at in range(0, len(found), pictures.WIDE)]
    grid = [([files[one.row] for one in part], [one.text for one in part]) for part in parts]
    question = "Which images is the model most certainly wrong about?"
    if task == "regression":
        question = "Which images is the model furthest from?"
    return {"worst_images": pictures.grid(grid, question)}
