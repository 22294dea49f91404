"""Rows of a database, through SQLAlchemy: bound parameters, a read-only transaction, chunk by chunk."""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mlops_lib import plugins
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.base import SPLITS, BaseDataLoader, Schema, Split
from mlops_lib.loaders.row_checks import (
    Prepare,
    missing_values,
    named_columns,
    prepared,
    require_columns,
    require_values,
)
from mlops_lib.loaders.splitting import assign
from mlops_lib.loaders.sql_types import Column, to_frame
from mlops_lib.redact import masked
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Executable, Row

#: What makes a session read-only; other databases have no such statement (docs/data.md).
READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


class Survey(NamedTuple):
    """What one reading of the whole query found."""

    columns: tuple[Column, ...]
    rows: int
    digest: str


class SQLDataLoader(BaseDataLoader):
    """The rows of a query or of a table, split by a hash of the key (by position where there is none).

    The query is read twice, because databases do not say beforehand what a column holds: once for its types,
    its NULLs and the fingerprint, once for the rows; a difference between the two is an error. Never more than
    `chunk_rows` rows are held, but for what `load` returns, and for `prepare`, which takes all rows at once.

    Args:
        url: SQLAlchemy URL, ``postgresql+psycopg://user@host/database`` or ``sqlite:////path``.
        password: Put into the URL when connecting; it is in no message.
        query, params: SELECT with an ORDER BY, and the values of its ``:names``.
        table: Instead of a query: a table, in the order of its primary key.
    """

    def __init__(
        self,
        url: str,
        *,
        label: str,
        key: str = "",
        features: tuple[str, ...] = (),
        query: str = "",
        table: str = "",
        params: Mapping[str, Any] | None = None,
        chunk_rows: int = 50_000,
        password: str = "",
        prepare: Prepare | None = None,
        validation_fraction: float = 0.15,
        test_fraction: float = 0.25,
        seed: int = 0,
    ) -> None:
        if bool(query) == bool(table):
            raise ConfigError("Set one of data.sql.query and data.sql.table.")
        self._url, self._password = url, password
        self.query, self.table, self.params = query, table, dict(params or {})
        self.chunk_rows = chunk_rows
        self.label, self.key, self.features, self.prepare = label, key, features, prepare
        self.fractions, self.seed = (validation_fraction, test_fraction), seed

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        data, secret = settings.data, settings.secrets.data_password
        url = data.source
        if url.startswith("sqlite:///"):
            url = f"sqlite:///{settings.path(url.removeprefix('sqlite:///'))}"
        return cls(
            url,
            label=data.label,
            key=data.key,
            features=data.features,
            query=data.sql.query,
            table=data.sql.table,
            params=data.sql.params,
            chunk_rows=data.sql.chunk_rows,
            password=secret.get_secret_value() if secret else "",
            prepare=plugins.load("prepare", data.prepare) if data.prepare else None,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            seed=data.seed,
        )

    @cached_property
    def schema(self) -> Schema:
        import pyarrow as pa

        if self.prepare:
            dtypes = {str(name): str(dtype) for name, dtype in self._prepared.dtypes.items()}
        else:
            columns = self.survey.columns
            empty = to_frame(pa.table({c.name: c.array([]) for c in columns}), columns)
            dtypes = {str(name): str(dtype) for name, dtype in empty.dtypes.items()}
        chosen = self.features or [name for name in dtypes if name not in (self.key, self.label)]
        return Schema(features={name: dtypes[name] for name in chosen}, label=self.label, key=self.key)

    def load(self, split: Split) -> "pd.DataFrame":
        import pandas as pd

        names = [*([self.key] if self.key else []), *self.schema.features, self.label]
        if self.prepare:
            frame = self._prepared
            return frame.loc[self._split_of(frame, 0) == split, names].reset_index(drop=True)
        parts = [part for name, part in self._parts() if name == split]
        if not parts:
            raise DataError(f"No row of the query falls into the split {split!r}.")
        return pd.concat(parts, ignore_index=True)[names]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.survey.digest.encode())
        digest.update(repr((self.fractions, self.seed, self.key)).encode())
        return digest.hexdigest()

    def tables(self, limit: int = 0) -> Iterator[tuple[Split, "pa.Table"]]:
        import pyarrow as pa

        if self.prepare:
            yield from super().tables(limit)
            return
        names = [*([self.key] if self.key else []), *self.schema.features, self.label]
        for split, part in self._parts():
            yield split, pa.Table.from_pandas(part[names], self._arrow_schema(names), preserve_index=False)

    def chunks(self) -> Iterator["pa.Table"]:
        """The rows of the query in order, `chunk_rows` at a time.

        Raises:
            DataError: The database refuses, or the rows are not those of the survey any more.
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

    @cached_property
    def survey(self) -> Survey:
        """Types, NULLs, number and digest of the rows.

        Raises:
            DataError: There are none; a column mixes types; a row has no label or no key.
        """
        digest, rows = hashlib.sha256(), 0
        columns: tuple[Column, ...] = ()
        with self._connected() as connection:
            result = connection.execute(self._statement(connection), self.params)
            columns = tuple(map(Column, result.keys()))
            for chunk in result.partitions(self.chunk_rows):
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
        if not self.prepare:
            self._require(names)
            for column in columns:
                if column.nulls and column.name in (self.label, self.key):
                    raise missing_values(column.name, column.nulls, column.null_rows, "The query")
        return Survey(columns, rows, digest.hexdigest())

    @cached_property
    def _prepared(self) -> "pd.DataFrame":
        import pyarrow as pa

        assert self.prepare
        whole = to_frame(pa.concat_tables(list(self.chunks())), self.survey.columns)
        frame = prepared(self.prepare, whole)
        self._require(frame.columns)
        require_values(frame, named_columns(self.label, self.key), "The prepared rows")
        return frame

    def _parts(self) -> Iterator[tuple[Split, "pd.DataFrame"]]:
        first_row = 0
        for table in self.chunks():
            frame = to_frame(table, self.survey.columns)
            split_of = self._split_of(frame, first_row)
            first_row += len(frame)
            for split in SPLITS:
                if (chosen := split_of == split).any():
                    yield split, frame[chosen]

    def _split_of(self, frame: "pd.DataFrame", first_row: int) -> Any:
        keys = frame[self.key] if self.key else frame.index.to_series() + first_row
        return assign(keys, *self.fractions, self.seed)

    def _arrow_schema(self, names: list[str]) -> "pa.Schema":
        import pyarrow as pa

        types = {column.name: column.arrow_type for column in self.survey.columns}
        return pa.schema([(name, types[name]) for name in names])

    def _require(self, names: Iterable[object]) -> None:
        wanted = named_columns(self.label, self.key, self.features)
        require_columns(names, wanted, "What data.prepare returned" if self.prepare else "The query")

    def _read(self) -> Iterator["list[Row[Any]]"]:
        with self._connected() as connection:
            result = connection.execute(self._statement(connection), self.params)
            yield from (list(chunk) for chunk in result.partitions(self.chunk_rows))

    def _statement(self, connection: "Connection") -> "Executable":
        import sqlalchemy as sa

        if self.query:
            statement = sa.text(self.query)
            names = set(statement.compile().params)
            if names != set(self.params):
                raise ConfigError(
                    f"data.sql.query has the values {', '.join(sorted(names)) or 'none'}, data.sql.params has "
                    f"{', '.join(sorted(self.params)) or 'none'}."
                )
            return statement
        schema, _, name = self.table.rpartition(".")
        try:
            table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=connection)
        except sa.exc.NoSuchTableError:
            tables = sa.inspect(connection).get_table_names(schema or None)
            raise DataError(
                f"There is no table {self.table!r}. Tables: {', '.join(tables) or 'none'}."
            ) from None
        order = list(table.primary_key) or ([table.c[self.key]] if self.key in table.c else [])
        return sa.select(table).order_by(*order)

    @contextmanager
    def _connected(self) -> Iterator["Connection"]:
        """A connection that can only read, and sees one state of the data where the database has such."""
        import sqlalchemy as sa

        try:
            with warnings.catch_warnings(), self._engine.connect() as connection:
                # SQLite keeps decimals as floats; SQLAlchemy gives them back as decimals, and says so each time.
                warnings.filterwarnings("ignore", ".*does \\*not\\* support Decimal.*")
                options: dict[str, Any] = {"stream_results": True, "yield_per": self.chunk_rows}
                if connection.dialect.name == "postgresql":
                    options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                yield connection.execution_options(**options)
        except sa.exc.SQLAlchemyError as error:
            raise DataError(f"The database refused: {self._safe(str(error))}") from None

    @cached_property
    def _engine(self) -> "Engine":
        import sqlalchemy as sa

        try:
            url = sa.make_url(self._url)
            url = url.set(password=self._password) if self._password else url
            if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
                raise DataError(f"There is no SQLite file {url.database}. Set data.source.")
            engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"data.source {self._safe(self._url)!r} is no database address: {self._safe(str(error))}. "
                "It looks like postgresql+psycopg://user@host/database, or sqlite:///file.db."
            ) from None
        if setting := READ_ONLY.get(url.get_backend_name()):

            @sa.event.listens_for(engine, "connect")
            def _read_only(connection: Any, _: Any) -> None:
                cursor = connection.cursor()
                cursor.execute(setting)
                cursor.close()
                connection.commit()

        return engine

    def _safe(self, text: str) -> str:
        return masked(text.replace(self._password, "***") if self._password else text)


def _bytes(rows: "list[Row[Any]] | Any") -> bytes:
    return "".join(f"{tuple(row)!r}\n" for row in rows).encode()
