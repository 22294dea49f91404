"""Rows of a Delta Lake table: the newest version of a folder with a `_delta_log`."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.formats.data_file import DataFile
from mlops_lib.loaders.formats.types import Place, canonical, conform

if TYPE_CHECKING:
    import pyarrow as pa

LOG = "_delta_log/"


def is_table(names: Iterable[str]) -> bool:
    """Whether files of these relative names are a Delta Lake table."""
    return any(name.startswith(LOG) for name in names)


def active(root: Path, shown: str) -> list[str]:
    """Relative names of the files with the rows of the newest version."""
    return sorted(fragment.path for fragment in _dataset(root, shown).get_fragments())


class DeltaFile:
    """A whole table. Its rows come in the order of the names of its files;
    rows that were deleted do not come."""

    def __init__(self, file: DataFile, key: str) -> None:
        self.file, self.key = file, key

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self._dataset.schema.names)

    @property
    def columns(self) -> dict[str, "pa.DataType"]:
        """The canonical type of each column."""
        return {field.name: canonical(field.type, field.name == self.key) for field in self._dataset.schema}

    @cached_property
    def rows(self) -> int:
        """Number of rows."""
        return self._dataset.count_rows()

    @cached_property
    def gaps(self) -> set[str]:
        """Columns of integers and booleans with a missing value."""
        import pyarrow as pa

        exact = [name for name, kind in self.columns.items() if kind in (pa.int64(), pa.bool_())]
        found: set[str] = set()
        for batch in self._dataset.to_batches(columns=exact):
            found |= {name for name in exact if batch.column(name).null_count}
        return found

    def tables(self, kinds: "Mapping[str, pa.DataType]", rows: int) -> Iterator["pa.Table"]:
        """The rows in order, at most `rows` at a time, with the columns of `kinds`
        (name -> canonical type)."""
        import pyarrow as pa

        own = self._dataset.schema
        chosen = [name for name in own.names if name in kinds]
        first_row = 0
        for fragment in sorted(self._dataset.get_fragments(), key=lambda fragment: fragment.path):
            options = {"batch_size": rows, "batch_readahead": 1, "fragment_readahead": 1}
            for batch in fragment.to_batches(schema=own, columns=chosen, **options):
                columns = {
                    name: conform(batch.column(name), kinds[name], Place(self.file.shown, name, first_row))
                    for name in chosen
                }
                first_row += len(batch)
                yield pa.table(columns)

    @cached_property
    def _dataset(self) -> Any:
        return _dataset(self.file.path, self.file.shown)


def _dataset(root: Path, shown: str) -> Any:
    """The newest version as an Arrow dataset, whose files need not be there yet.

    Raises:
        ConfigError: The package is not installed.
        DataError: The table uses what the package cannot read, such as deletion vectors.
    """
    try:
        from deltalake import DeltaTable
    except ImportError:
        raise ConfigError(
            f"{shown} is a Delta Lake table. Install its reader with: pip install 'mlops-lib[delta]'"
        ) from None
    try:
        return DeltaTable(str(root)).to_pyarrow_dataset()
    except Exception as error:  # of deltalake's own kinds
        raise DataError(f"{shown} cannot be read as a Delta Lake table: {error}") from None
