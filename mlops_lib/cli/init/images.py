"""The network for a source of images, and the size of its input."""

import statistics

from mlops_lib.cli.init.choices import Choices
from mlops_lib.cli.init.table import Table

#: Longest side of images of one size that the network takes as they are, and of those that are resized.
MAX_SIDE, RESIZED_SIDE = 256, 128


def choose_network(table: Table, choices: Choices) -> None:
    """Set `choices.model` for a table with a column of images: a network,
    and one size where images have several."""
    names = [
        name for name, column in table.columns.items() if column.kind == "image" and name != choices.label
    ]
    if not names:
        return
    choices.model = {"wrapper": "lightning", "implementation": "image"}
    sizes = {size for value in table.some_values(names[0]) if (size := _size(value))}
    others = [name for name, column in table.columns.items() if column.role == "feature"]
    is_alone = not set(others) - {*names[:1], choices.label, choices.key}
    if len(sizes) == 1 and max(next(iter(sizes))) <= MAX_SIDE and is_alone:
        return
    side = min(int(statistics.median([min(size) for size in sizes] or [RESIZED_SIDE])), RESIZED_SIDE)
    choices.model["inputs"] = {"x": {"column": names[0], "shape": [3, side, side]}}
    choices.reasons["model.inputs"] = "images are resized to this size"


def _size(value: bytes | None) -> tuple[int, int] | None:
    """Width and height; None of a broken file, which is named when the dataset is written."""
    from mlops_lib.columns.images import opened

    try:
        return opened(value or b"").size
    except (ValueError, ImportError):
        return None
