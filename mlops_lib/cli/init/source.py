"""The source of a new project: a file, a folder, or the address of files or of a database."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_lib.errors import ConfigError, DataError
from mlops_lib.redact import mask, password_in, without_password
from mlops_lib.wording import listed

#: Schemes of addresses of files; every other scheme is a database's.
FILE_SCHEMES = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "memory")
#: Of them, those of places that list the files of a folder.
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
#: Endings of files with an SQLite database.
SQLITE = (".db", ".sqlite", ".sqlite3")
#: Names listed in an error.
LISTED = 20


@dataclass(frozen=True)
class Source:
    """Where the rows are.

    Attributes:
        address: ``data.source`` of the new config.yaml.
        shown: As the user wrote it, without secrets, for messages.
        loader: ``data.loader``.
        sql: Section ``data.sql``; empty for files.
    """

    address: str
    shown: str
    loader: str = "local"
    sql: Mapping[str, str] = field(default_factory=dict)


def parse(text: str, folder: Path, table: str = "", query: str = "") -> Source:
    """The source that `text` names.

    Args:
        text: Path (from the current folder) or address.
        folder: Folder of the new project.
        table, query: Of a database; one of them, or none if it has one table.

    Raises:
        ConfigError: The address has a password; a database's options are given for files.
        DataError: There is no such file or table.
    """
    if password_in(text):
        raise ConfigError(
            f"--source has a password in it, left out here: {without_password(text)}. Leave it out, and set the "
            "environment variable DATA_SOURCE_PASSWORD."
        )
    path = Path(text).expanduser()
    if path.suffix in SQLITE and path.is_file():
        text = f"sqlite:///{path}"
    scheme, is_address, _ = text.partition("://")
    if is_address and scheme not in FILE_SCHEMES:
        return _database(text, folder, table, query)
    if table or query:
        raise ConfigError(f"--table and --query are for a database, and --source {mask(text)} is none.")
    if is_address:
        return Source(text, mask(text), _remote_loader(text) if scheme in BUCKETS else "local")
    if not path.exists():
        raise DataError(_no_file(path))
    return Source(os.path.relpath(path, folder), text, _local_loader(path))


def _local_loader(path: Path) -> str:
    from mlops_lib.loaders.sources.discovery import names_below

    return _loader(names_below(path)) if path.is_dir() else "local"


def _remote_loader(address: str) -> str:
    from mlops_lib.loaders.sources.remote import open_remote

    remote = open_remote(address, None, "")
    return _loader(list(remote.versions)) if remote.is_folder else "local"


def _loader(names: Sequence[str]) -> str:
    """``images`` for a folder of images in folders of classes."""
    from mlops_lib.loaders.sources.image_source import is_image_folder

    return "images" if is_image_folder(names) else "local"


def _no_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder}, so no file {path}. Give the path from {Path.cwd()}."
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=3) or names
    return f"There is no file or folder {path}. In {folder.resolve()} there is: {listed(near, LISTED) or 'nothing'}."


def _database(text: str, folder: Path, table: str, query: str) -> Source:
    if table and query:
        raise ConfigError("Give one of --table and --query.")
    address = text
    if text.startswith("sqlite:///"):
        file = Path(text.removeprefix("sqlite:///"))
        if not file.is_file():
            raise DataError(_no_file(file))
        address = text if file.is_absolute() else f"sqlite:///{os.path.relpath(file, folder)}"
    table = table or ("" if query else _only_table(text))
    return Source(address, mask(text), "sql", {"table": table} if table else {"query": query})


def _only_table(url: str) -> str:
    """The one table of a database.

    Raises:
        ConfigError: It has none, or several; lists them.
    """
    import sqlalchemy as sa

    from mlops_lib.loaders.sql_database import Database

    with Database(url, os.environ.get("DATA_SOURCE_PASSWORD", "")).connected(1) as connection:
        found = sa.inspect(connection)
        names = sorted([*found.get_table_names(), *found.get_view_names()])
    if len(names) != 1:
        raise ConfigError(
            f"{mask(url)} has {len(names) or 'no'} tables{': ' if names else ''}{listed(names, LISTED)}. Name one "
            "with --table, or give a SELECT with an ORDER BY as --query."
        )
    return names[0]
