"""Where files come from: this machine, a bucket, a web server, a Delta Lake table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats import delta
from mlops_lib.loaders.formats.data_file import DataFile, data_file
from mlops_lib.loaders.sources.discovery import data_files, names_below
from mlops_lib.loaders.sources.remote import Remote, open_remote
from mlops_lib.redact import mask

#: Files of a dataset that a loader wrote; files beside them hold no rows.
PREPARED = {"columns.json", "train.parquet", "validation.parquet", "test.parquet"}


class Source:
    """The files of one source.

    Attributes:
        root: The file or folder on this machine, where remote files are kept too.
        shown: The name in errors: path, or address without secrets.
        remote: Where the files are, if not on this machine.
    """

    def __init__(self, root: Path, shown: str, remote: Remote | None = None) -> None:
        self.root, self.shown, self.remote = root, shown, remote
        self.is_folder = remote.is_folder if remote else root.is_dir()
        if remote and delta.is_table(remote.versions):
            remote.fetch(name for name in remote.versions if name.startswith(delta.LOG))
        names = names_of(root, remote)
        if set(names) >= PREPARED:
            names = sorted(PREPARED)
        self.is_delta = self.is_folder and delta.is_table(names)
        if self.is_delta:
            self.files: list[DataFile] = [DataFile(root, shown, "delta")]
            self._needed = delta.active(root, shown)
        elif self.is_folder:
            self.files, self._needed = self.find(names)
        else:
            self.files = [data_file(root, shown)]
            self._needed = [root.name]

    def find(self, names: Sequence[str]) -> tuple[list[DataFile], list[str]]:
        """The files with rows of a folder, and the names of the files that they are read from."""
        files = data_files(self.root, names, self.shown)
        return files, [file.path.relative_to(self.root).as_posix() for file in files]

    def fetch(self) -> None:
        """Get the files that are needed and not on this machine yet."""
        if self.remote:
            self.remote.fetch(self._needed)

    def contents(self) -> dict[str, Path | str]:
        """Name of each file that holds rows -> its path, or the version that the server gives it."""
        if self.remote:
            return {name: self.remote.versions[name] for name in self._needed}
        folder = self.root if self.is_folder else self.root.parent
        return {
            (folder / name).relative_to(self.root.parent).as_posix(): folder / name for name in self._needed
        }


def names_of(root: Path, remote: Remote | None) -> list[str]:
    """The names of all files of a folder; of a file, its own."""
    if remote:
        return list(remote.versions)
    return names_below(root) if root.is_dir() else [root.name]


def open_source(
    path: str | Path,
    cache: Path | None = None,
    password: str = "",
    kind: Callable[[Sequence[str]], type[Source]] = lambda names: Source,
) -> Source:
    """The source at a path or an address (``s3://``, ``gs://``, ``az://``, ``https://``, ``file://``).

    Args:
        path: Path or address of a file or a folder.
        cache: Folder that remote files are kept in.
        password: Of the user in an https address; without a user, a bearer token.
        kind: Chooses the class of the source by the names of a folder's files.

    Raises:
        DataError: There is nothing, or it cannot be reached.
    """
    address = str(path)
    if address.startswith("file://"):
        path = Path(url2pathname(urlsplit(address).path))
    elif "://" in address:
        remote = open_remote(address, cache, password)
        return kind(names_of(remote.root, remote))(remote.root, mask(address).rstrip("/"), remote)
    path = Path(path)
    if not path.exists():
        raise DataError(f"Data source {path} does not exist. Set data.source or DATA_SOURCE_PATH.")
    return kind(names_of(path, None))(path, str(path))
