"""Makes the tables of MLflow's store in a database, one process at a time.

Two processes that find a fresh database both migrate it, and alembic stops one of them:
"Online migration expected to match one row". MLflow takes no lock there.
"""

import contextlib
import fcntl
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from mlops_lib.errors import MlopsError

#: Dialect -> SQL that waits for a lock, which ends with the connection.
LOCKS = {
    "postgresql": "SELECT pg_advisory_lock(7305810112049)",
    "mysql": "SELECT GET_LOCK('mlops.mlflow_tables', 600)",
}
#: Stores that this process has made or found complete.
_ready: set[str] = set()


def make_tables(uri: str) -> None:
    """Make or migrate the tables of a store, if it is a database; once in a process.

    A server that does not answer is no error here: the first query reports it.

    Raises:
        MlopsError: The SQLite file cannot be opened.
    """
    if uri in _ready or not _dialect(uri):
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    if file := sqlite_file(uri):
        _require_usable(file)
    with _locked(uri), suppress(MlflowException):
        # The model registry uses the same tables.
        mlflow.MlflowClient(uri).search_experiments(max_results=1)
        _ready.add(uri)


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite address, in which SQLAlchemy reads %25 as %; None for another address."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))


def sqlite_uri(file: Path) -> str:
    """The address of a SQLite file."""
    # Not every %: MLflow makes the folder of the address as it is written, empty, beside the right one.
    return "sqlite:///" + re.sub("%(?=[0-9A-Fa-f]{2})", "%25", str(file)).replace("?", "%3F")


def _require_usable(file: Path) -> None:
    """Raise at once for a file that cannot be opened: MLflow would try again for two minutes."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=0)) as store:
            store.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise MlopsError(f"MLflow's store {file} cannot be opened: {error}.") from None
    except sqlite3.DatabaseError as error:
        raise MlopsError(f"MLflow's store {file} is no SQLite database: {error}.") from None


def _dialect(uri: str) -> str:
    """``sqlite``, or a key of `LOCKS`; "" for another address."""
    name = uri.partition(":")[0].partition("+")[0]
    return name if name == "sqlite" or name in LOCKS else ""


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Hold the lock of a database: a file beside SQLite's, else a lock of the server.
    Without it where there is none."""
    with ExitStack() as held:
        if file := sqlite_file(uri):
            with suppress(OSError):  # a file system without locks
                stream = held.enter_context(Path(f"{file}.lock").open("a"))
                fcntl.flock(stream, fcntl.LOCK_EX)
        else:
            import sqlalchemy

            with suppress(sqlalchemy.exc.SQLAlchemyError):
                engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
                connection = held.enter_context(engine.connect())
                connection.execute(sqlalchemy.text(LOCKS[_dialect(uri)]))
        yield
