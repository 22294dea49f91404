"""Rows of Parquet, Feather and Arrow files, read in parts."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.memory import rows_at_once
from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.types import Place, canonical, conform

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_lib.loaders.formats.data_file import DataFile


class ArrowFile:
    """One file. A row group (or record batch) must fit into memory, a file need not."""

    def __init__(self, file: "DataFile", key: str) -> None:
        self.file, self.key = file, key
        if file.compression:
            raise DataError(
                f"{file.shown}: {file.format} is compressed inside; unpack the .{file.compression}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order, without an index of pandas that has no
        name (``__index_level_0__``)."""
        names = self._schema.names
        indexes = (self._schema.pandas_metadata or {}).get("index_columns", ())
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(
                f"{self.file.shown} has more than one column named {', '.join(map(repr, twice))}."
            )
        return tuple(name for name in names if not (name in indexes and name.startswith("__index_level_")))

    @property
    def columns(self) -> dict[str, "pa.DataType"]:
        """The canonical type of each column."""
        return {name: canonical(self._schema.field(name).type, name == self.key) for name in self.names}

    @cached_property
    def zones(self) -> dict[str, str]:
        """The time zone of each column of instants; "" for one without."""
        import pyarrow as pa

        kinds = {name: self._schema.field(name).type for name in self.names}
        return {name: kind.tz or "" for name, kind in kinds.items() if pa.types.is_timestamp(kind)}

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._facts[1]

    @property
    def gaps(self) -> set[str]:
        """Columns that may have a missing value."""
        return self._facts[2]

    @property
    def _schema(self) -> "pa.Schema":
        return self._facts[0]

    def tables(self, kinds: "Mapping[str, pa.DataType]", rows: int) -> Iterator["pa.Table"]:
        """The rows in order, at most `rows` at a time, with the columns of `kinds` (name ->
        canonical type) that the file has."""
        import pyarrow as pa

        chosen = [name for name in self.names if name in kinds]
        first_row = 0
        for batch in self._batches(chosen, rows):
            columns = {
                name: conform(batch.column(name), kinds[name], Place(self.file.shown, name, first_row))
                for name in chosen
            }
            first_row += len(batch)
            yield pa.table(columns)

    def _batches(self, chosen: list[str], rows: int) -> Iterator["pa.RecordBatch"]:
        import pyarrow.parquet as pq

        with self._readable():
            if self.file.format != "parquet":
                with self._opened() as reader:
                    for batch in reader:
                        yield from (batch.slice(at, rows) for at in range(0, len(batch), rows))
                return
            # With pre_buffer a whole file would be in memory.
            with pq.ParquetFile(self.file.path, pre_buffer=False) as parquet:
                rows = rows_at_once(parquet, rows)
                yield from (batch for batch in parquet.iter_batches(rows, columns=chosen) if len(batch))

    @cached_property
    def _facts(self) -> "tuple[pa.Schema, int, set[str]]":
        """Columns, number of rows, and columns with gaps (or without statistics)."""
        import pyarrow.parquet as pq

        with self._readable():
            if self.file.format == "parquet":
                with pq.ParquetFile(self.file.path) as parquet:
                    footer = parquet.metadata
                    return parquet.schema_arrow, footer.num_rows, _gaps(footer)
            with self._opened() as reader:
                counts, gaps = 0, set()
                for batch in reader:
                    counts += len(batch)
                    gaps |= {name for name in batch.schema.names if batch.column(name).null_count}
                return reader.schema, counts, gaps

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Turns the errors of a broken file into a DataError with its name."""
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.file.shown} cannot be read as {self.file.format}: {error}") from None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        """A reader of the record batches of an Arrow file (Feather is one) or stream."""
        import pyarrow as pa

        with pa.memory_map(str(self.file.path)) as source:
            try:
                reader = pa.ipc.open_file(source)
            except pa.ArrowInvalid:
                source.seek(0)
                yield pa.ipc.open_stream(source)
                return
            yield _FileBatches(reader)


class _FileBatches:
    """The batches of an Arrow file as an iterator with a schema, like those of a stream."""

    def __init__(self, reader: Any) -> None:
        self.schema, self._reader = reader.schema, reader

    def __iter__(self) -> Iterator["pa.RecordBatch"]:
        return (self._reader.get_batch(i) for i in range(self._reader.num_record_batches))


def _gaps(footer: Any) -> set[str]:
    found = set()
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            known = column.statistics
            if known is None or not known.has_null_count or known.null_count:
                found.add(column.path_in_schema.split(".")[0])
    return found
