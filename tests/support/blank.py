"""Stores of MLflow with their tables made: copies of one, because MLflow takes more than a second to make them."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from mlops_lib.tracking import database, store

#: The folder of the one store; `make_tables` is MLflow's own without it.
FOLDER_ENV = "TESTS_BLANK_STORE"
_make_tables = store.make_tables


def use() -> None:
    """From here on, this process copies the tables of a SQLite store that does not exist yet."""
    store.make_tables = make_tables


def make_tables(uri: str) -> None:
    """`database.make_tables`, after a copy for a new SQLite file."""
    file, folder = database.sqlite_file(uri), os.environ.get(FOLDER_ENV)
    if file and folder and file.parent.is_dir() and not file.exists():
        copy = shutil.copy(blank(Path(folder)), f"{file}.{os.getpid()}")
        with contextlib.suppress(FileExistsError):
            os.link(copy, file)
        os.unlink(copy)
    _make_tables(uri)


def blank(folder: Path) -> Path:
    """The one store of all test processes, made by the first call."""
    folder.mkdir(exist_ok=True)
    file = folder / "mlflow.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            made = folder / "made.db"
            _make_tables(database.sqlite_uri(made))
            made.replace(file)
    return file
