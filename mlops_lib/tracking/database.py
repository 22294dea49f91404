"""Makes the tables of MLflow's store in a database, one process at a time.

Two processes that find a fresh database both migrate it, and alembic stops one of them: "Online migration expected to
match one row". MLflow takes no lock there.
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: Dialect -> SQL that waits for a lock, which ends with the connection.
LOCKS = {
    "postgresql": "SELECT pg_advisory_lock(7305810112049)",
    "mysql": "SELECT GET_LOCK('mlops.mlflow_tables', 600)",
}
#: Stores that this process has made or found complete.
_ready: set[str] = set()


def make_tables(uri: str) -> None:
    """Make or migrate the tables of a store, if it is a database; once in a process.

    A database that cannot be used is no error here: the first query reports it.
    """
    if uri in _ready or not _dialect(uri):
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    with _locked(uri), suppress(MlflowException):
        # The model registry uses the same tables.
        mlflow.MlflowClient(uri).search_experiments(max_results=1)
        _ready.add(uri)


def _dialect(uri: str) -> str:
    """``sqlite``, or a key of `LOCKS`; "" for another address."""
    name = uri.partition(":")[0].partition("+")[0]
    return name if name == "sqlite" or name in LOCKS else ""


@contextmanager
def _locked(uri: str) -> Iterator[None]:
    """Hold the lock of a database: a file beside SQLite's, else a lock of the server. Without it where there is none."""
    with ExitStack() as held:
        if _dialect(uri) == "sqlite":
            file = Path(f"{uri.removeprefix('sqlite:///')}.lock")
            with suppress(OSError):  # a file system without locks
                stream = held.enter_context(file.open("a"))
                fcntl.flock(stream, fcntl.LOCK_EX)
        else:
            import sqlalchemy

            with suppress(sqlalchemy.exc.SQLAlchemyError):
                engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
                connection = held.enter_context(engine.connect())
                connection.execute(sqlalchemy.text(LOCKS[_dialect(uri)]))
        yield
