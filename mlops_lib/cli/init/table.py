"""The columns of a source with their kinds, a sample of its rows, and any whole column."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.schema import Column
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.base import BaseDataLoader

#: Rows of a larger source that kinds are inferred from: between this many and twice as many, evenly spaced.
SAMPLE_ROWS = 100_000
#: Most bytes of the sample: images are large.
SAMPLE_BYTES = 256 << 20
#: Rows that examples are taken from.
EXAMPLES = 200
#: Characters that separate cells somewhere; a name with one of them hints at a file that was read wrongly.
SEPARATORS = ";\t|~^:"


@dataclass(eq=False)
class Table:
    """A source that was read once.

    Attributes:
        loader: Reads it.
        shown: Its name in messages.
        rows: Number of rows.
        sample: Rows of all columns.
    """

    loader: "BaseDataLoader"
    shown: str
    rows: int
    sample: "pa.Table"

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.sample.column_names)

    @property
    def is_sampled(self) -> bool:
        """Whether the source has more rows than the sample."""
        return self.rows > len(self.sample)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Each column with its kind, by name; the roles are not decided yet."""
        from mlops_lib.columns.infer import Declared, infer

        declared = getattr(self.loader, "declared", None)
        images = {n: kind for n, kind in (declared.kinds if declared else {}).items() if kind == "image"}
        return {column.name: column for column in infer(self.sample, Declared("", kinds=images)).columns}

    def some_values(self, name: str) -> list[Any]:
        """Values of a column from evenly spaced rows, for examples."""
        import numpy as np

        step = max(len(self.sample) // EXAMPLES, 1)
        return self.sample[name].take(np.arange(0, len(self.sample), step)).to_pylist()

    def column(self, name: str) -> "pa.ChunkedArray":
        """Every value of a column, read again if the source is larger than the sample."""
        import pyarrow as pa

        if not self.is_sampled:
            return self.sample[name]
        return pa.concat_tables(self.loader.source_tables([name]))[name]


def read(loader: "BaseDataLoader", shown: str, on_rows: Callable[[int], Any]) -> Table:
    """Read a source once.

    Args:
        loader: Reads it; label and key need not be known.
        shown: Its name in messages.
        on_rows: Called with the number of rows read so far.

    Raises:
        DataError: It cannot be read, has no rows, or has one column only.
    """
    import numpy as np
    import pyarrow as pa

    kept: list[pa.Table] = []
    rows, step = 0, 1
    for part in loader.source_tables():
        kept.append(part.take(np.arange(-rows % step, len(part), step)))
        rows += len(part)
        on_rows(rows)
        while sum(map(len, kept)) > 2 * SAMPLE_ROWS or sum(one.nbytes for one in kept) > SAMPLE_BYTES:
            whole, step = pa.concat_tables(kept), 2 * step
            kept = [whole.take(np.arange(0, len(whole), 2))]
    if not rows:
        raise DataError(f"{shown} has a header and no rows.")
    table = Table(loader, shown, rows, pa.concat_tables(kept))
    _require_columns(table)
    return table


def _require_columns(table: Table) -> None:
    if len(names := table.names) > 1:
        return
    if found := [mark for mark in SEPARATORS if mark in names[0]]:
        raise DataError(
            f"{table.shown} was read as one column named {names[0]!r}, so its cells seem to be separated by "
            f"{found[0]!r}. Write it with commas, or name the separator with --set data.csv.separator={found[0]!r}."
        )
    raise DataError(
        f"{table.shown} has one column, {names[0]!r}. A model needs a label and at least one other column."
    )
