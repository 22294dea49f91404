"""Rows of Parquet files, read in parts, for data larger than memory."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: Values (rows times columns) in memory at once.
PART_VALUES = 1_000_000


class Part(NamedTuple):
    """Consecutive rows as stored (`table`) and as `load` returns them (`frame`); the index counts over all files."""

    table: "pa.Table"
    frame: "pd.DataFrame"


class ParquetRows:
    """The rows of files with the same columns, in order. A row group must fit into memory, a file need not.

    Args:
        files: At least one file.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)

    def __len__(self) -> int:
        return sum(footer.num_rows for footer in self._footers)

    @cached_property
    def schema(self) -> "pa.Schema":
        """Columns with types wide enough for the values of every file.

        Raises:
            DataError: The files differ in their columns, or in the kind of values in a column.
        """
        import pyarrow as pa

        schemas = [footer.schema.to_arrow_schema() for footer in self._footers]
        for file, schema in zip(self.files, schemas, strict=True):
            if set(schema.names) != set(schemas[0].names):
                other = sorted(set(schema.names) ^ set(schemas[0].names))
                raise DataError(f"{file} and {self.files[0]} differ in the columns {', '.join(other)}.")
        try:
            return pa.unify_schemas(schemas, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(f"The files of {self.files[0].parent} differ in their types: {error}") from None

    @cached_property
    def dtypes(self) -> "dict[str, Any]":
        """pandas dtype of each column over all rows: one missing value turns an integer column into floats."""
        import pyarrow as pa

        whole = self.schema.empty_table().to_pandas().dtypes
        nulls = [pa.nulls(1, field.type) for field in self.schema]
        holed = pa.Table.from_arrays(nulls, schema=self.schema).to_pandas().dtypes
        return {name: (holed if name in self._with_gaps else whole)[name] for name in whole.index}

    def head(self, columns: Sequence[str], rows: int) -> "pa.Table":
        """The first rows with `columns`; not many more than `rows`."""
        import pyarrow as pa

        found: list[pa.Table] = []
        for part in self.parts(columns):
            found.append(part.table)
            if sum(map(len, found)) >= rows:
                break
        return pa.concat_tables(found) if found else self.schema.empty_table()

    def parts(self, columns: Sequence[str]) -> Iterator[Part]:
        """The rows in parts, with `columns` in this order."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        if missing := [name for name in columns if name not in self.schema.names]:
            raise DataError(f"{self.files[0]} has no column {', '.join(map(repr, missing))}.")
        schema = pa.schema([self.schema.field(name) for name in columns], self.schema.metadata)
        size, position = max(PART_VALUES // max(len(columns), 1), 1), 0
        for file in self.files:
            # With pre_buffer a whole file would be in memory.
            with pq.ParquetFile(file, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(size, columns=list(columns)):
                    if not len(batch):
                        continue
                    table = pa.Table.from_batches([batch]).select(columns).cast(schema, safe=False)
                    frame = table.to_pandas()
                    wrong = {
                        name: self.dtypes[name]
                        for name in columns
                        if frame[name].dtype != self.dtypes[name] and frame[name].dtype.name != "category"
                    }
                    frame = frame.astype(wrong)
                    frame.index = pd.RangeIndex(position, position + len(frame))
                    position += len(frame)
                    yield Part(table, frame)

    @cached_property
    def _footers(self) -> "list[pa.parquet.FileMetaData]":
        import pyarrow.parquet as pq

        return [pq.read_metadata(file) for file in self.files]

    @cached_property
    def _with_gaps(self) -> set[str]:
        """Columns with a missing value, or whose statistics are missing."""
        found = set()
        for footer in self._footers:
            for group in range(footer.num_row_groups):
                for number in range(footer.num_columns):
                    column = footer.row_group(group).column(number)
                    known = column.statistics
                    if known is None or not known.has_null_count or known.null_count:
                        found.add(column.path_in_schema)
        return found
