"""A database for reading: its address, read-only connections, and errors without the password."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ConfigError, DataError
from mlops_lib.redact import mask

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: Statement that makes a session read-only; other databases have no such statement (docs/data.md).
READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


class Database:
    """A database at a SQLAlchemy URL.

    Args:
        url: ``postgresql+psycopg://user@host/database`` or ``sqlite:////path``.
        password: Added to the URL when connecting; no message contains it.
    """

    def __init__(self, url: str, password: str = "") -> None:
        self._url, self._password = url, password

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return mask(self._url)

    @contextmanager
    def connected(self, chunk_rows: int) -> Iterator["Connection"]:
        """A read-only connection, with one snapshot of the data where the database supports it.

        Args:
            chunk_rows: Rows that the driver fetches at once.

        Raises:
            ConfigError: The URL is no database address.
            DataError: The database refuses the connection or a statement.
        """
        import sqlalchemy as sa

        try:
            with warnings.catch_warnings(), self._engine.connect() as connection:
                # SQLite stores decimals as floats; SQLAlchemy warns of that each time.
                warnings.filterwarnings("ignore", ".*does \\*not\\* support Decimal.*")
                options: dict[str, Any] = {"stream_results": True, "yield_per": chunk_rows}
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
        return mask(text.replace(self._password, "***") if self._password else text)
