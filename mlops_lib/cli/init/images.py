"""The network for a source of images, and the size of its input; broken files are named."""

import statistics

from mlops_lib.cli.init.choices import Choices
from mlops_lib.cli.init.table import Table
from mlops_lib.errors import DataError

#: Longest side of images of one size that the network takes as they are, and of those that are resized.
MAX_SIDE, RESIZED_SIDE = 256, 128
#: Broken files that an error lists.
LISTED = 10


def choose_network(table: Table, choices: Choices) -> None:
    """Set `choices.model` for a table with a column of images: a network, and one size where
    images have several.

    Raises:
        DataError: Some of the images that are looked at cannot be read. `01_get_data` looks at all of them.
    """
    names = [
        name for name, column in table.columns.items() if column.kind == "image" and name != choices.label
    ]
    if not names:
        return
    choices.model = {"wrapper": "lightning", "implementation": "image"}
    sizes = _sizes(table, names[0])
    others = [name for name, column in table.columns.items() if column.role == "feature"]
    is_alone = not set(others) - {*names[:1], choices.label, choices.key}
    if len(set(sizes)) == 1 and max(sizes[0]) <= MAX_SIDE and is_alone:
        return
    side = min(int(statistics.median([min(size) for size in sizes] or [RESIZED_SIDE])), RESIZED_SIDE)
    choices.model["inputs"] = {"x": {"column": names[0], "shape": [3, side, side]}}
    choices.reasons["model.inputs"] = "images are resized to this size"


def _sizes(table: Table, column: str) -> list[tuple[int, int]]:
    """The (width, height) of some images."""
    from mlops_lib.columns.images import upright

    values = table.some_values(column)
    names = table.some_values("key") if "key" in table.names else range(len(values))
    sizes, broken = [], []
    for name, value in zip(names, values, strict=True):
        try:
            if isinstance(value, bytes):
                sizes.append(upright(value).size)
        except ValueError as error:
            broken.append(f"  {name}: {len(value):,} bytes, {error}")
        except ImportError as error:
            raise DataError(str(error)) from None
    if broken:
        listed = "\n".join(broken[:LISTED] + ["  ..."] * (len(broken) > LISTED))
        raise DataError(
            f"{table.shown}: {len(broken)} of {len(values)} values of column {column!r} that were looked at are no images that "
            f"can be read:\n{listed}\nReplace or remove such files."
        )
    return sizes
