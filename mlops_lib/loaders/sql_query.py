"""A query or a table, read twice: once for the types of its columns, once for its rows."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_lib.columns.schema import numbers_in
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.sql_database import Database
from mlops_lib.loaders.sql_types import Column

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Executable, Result

#: Rows that are read together.
Chunk = Sequence[Sequence[Any]]


class Survey(NamedTuple):
    """The result of reading a whole query once: its columns, and number and digest of its rows."""

    columns: tuple[Column, ...]
    rows: int
    digest: str


@dataclass(eq=False)
class Query:
    """The rows of a SELECT or of a table. Never more than `chunk_rows` of them are held.

    Attributes:
        database: Where it runs.
        text: SELECT with an ORDER BY; empty: `table` is read.
        params: Values of the ``:names`` of `text`.
        table: Table or view, in the order of its primary key, else of `key`.
        key: Column of entity keys; empty: there is none.
        chunk_rows: Rows in one chunk.
        missing: Texts that are no value.
    """

    database: Database
    text: str
    params: Mapping[str, Any]
    table: str
    key: str
    chunk_rows: int
    missing: tuple[str, ...] = ()

    @cached_property
    def survey(self) -> Survey:
        """Columns with their types and NULLs, and number and digest of the rows.

        Raises:
            DataError: There are no rows; a column mixes types; two columns have one name.
        """
        digest, rows = hashlib.sha256(), 0
        columns: tuple[Column, ...] = ()
        with self.database.connected(self.chunk_rows) as connection:
            result = connection.execute(self._statement(connection), self.params)
            columns = tuple(map(Column, result.keys()))
            for chunk in self._partitions(result):
                for column, values in zip(columns, zip(*chunk, strict=True), strict=True):
                    column.see(values, rows)
                digest.update(_bytes(chunk))
                rows += len(chunk)
        names = [column.name for column in columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(
                f"The query has two columns named {', '.join(twice)}; give one another name with AS."
            )
        if not rows:
            raise DataError("The query has no rows.")
        return Survey(columns, rows, digest.hexdigest())

    def chunks(self) -> Iterator["pa.Table"]:
        """The rows in order, `chunk_rows` at a time.

        Raises:
            DataError: The database refuses, or the rows differ from those of the survey.
        """
        import pyarrow as pa

        columns = self.survey.columns
        digest, rows = hashlib.sha256(), 0
        for chunk in self._read():
            digest.update(_bytes(chunk))
            rows += len(chunk)
            values = zip(*chunk, strict=True)
            yield pa.table({c.name: c.array(v) for c, v in zip(columns, values, strict=True)})
        if digest.hexdigest() != self.survey.digest:
            raise DataError(
                f"Two readings of the data differ ({self.survey.rows} and {rows} rows): it changed meanwhile, or "
                "data.sql.query has no ORDER BY that fixes the order of its rows."
            )

    def _read(self) -> Iterator[Chunk]:
        with self.database.connected(self.chunk_rows) as connection:
            yield from self._partitions(connection.execute(self._statement(connection), self.params))

    def _partitions(self, result: "Result[Any]") -> Iterator[Chunk]:
        """The rows, with None for the texts of `missing`.

        Raises:
            DataError: A value is not of the type that its column is declared with, which SQLite allows.
        """
        chunks = result.partitions(self.chunk_rows)
        while True:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"The database holds a value that is not of its column's type: {error}. Name the columns in "
                    "data.sql.query, with CAST(... AS TEXT) for this one."
                ) from None
            yield (
                chunk
                if not self.missing
                else [tuple(None if self._is_missing(value) else value for value in row) for row in chunk]
            )

    def _is_missing(self, value: Any) -> bool:
        """Whether a text or number is one of `missing`."""
        if isinstance(value, str):
            return value in self.missing
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        return is_number and value in self._missing_numbers

    @cached_property
    def _missing_numbers(self) -> list[float]:
        return numbers_in(self.missing)

    def _statement(self, connection: "Connection") -> "Executable":
        import sqlalchemy as sa

        if self.text:
            statement = sa.text(self.text)
            names = set(statement.compile().params)
            if names != set(self.params):
                raise ConfigError(
                    f"data.sql.query has the values {_listed(names)}, data.sql.params has {_listed(self.params)}."
                )
            return statement
        schema, _, name = self.table.rpartition(".")
        try:
            table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=connection)
        except sa.exc.NoSuchTableError:
            tables = sa.inspect(connection).get_table_names(schema or None)
            raise DataError(f"There is no table {self.table!r}. Tables: {_listed(tables)}.") from None
        order = list(table.primary_key) or ([table.c[self.key]] if self.key in table.c else [])
        return sa.select(table).order_by(*order)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _bytes(rows: Chunk) -> bytes:
    return "".join(f"{tuple(row)!r}\n" for row in rows).encode()
