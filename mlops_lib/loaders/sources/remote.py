"""Files behind an address: listed with a version each, and kept on this machine
while the version is the same."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mlops_lib import files
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.loaders.sources import web
from mlops_lib.redact import mask

#: Files that are copied at the same time.
DOWNLOADS = 8


class Store(Protocol):
    """A place with files.

    Attributes:
        is_folder: Whether the address names a folder, not one file.
    """

    is_folder: bool

    def versions(self) -> Mapping[str, str]:
        """Relative name of each file -> a text that changes with its content."""

    def get(self, name: str, target: Path) -> None:
        """Copy a file to `target`."""


class Remote:
    """The files at an address, copied to a folder of their own below `cache` on use.

    Args:
        store: Where they are.
        shown: The address without secrets.
        cache: Folder for copies.
    """

    def __init__(self, store: Store, shown: str, cache: Path) -> None:
        self.store, self.shown = store, shown
        self.folder = cache / hashlib.sha256(shown.encode()).hexdigest()[:16]

    @property
    def is_folder(self) -> bool:
        """Whether the address names a folder."""
        self.versions  # noqa: B018  asks the store
        return self.store.is_folder

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Relative name of each file -> its version."""
        with _named(self.shown):
            found = self.store.versions()
        if not found:
            raise DataError(f"Data source {self.shown} does not exist. Set data.source or DATA_SOURCE_PATH.")
        if outside := [name for name in found if ".." in name.split("/") or name.startswith("/")]:
            raise DataError(
                f"Data source {self.shown} has a file named {outside[0]!r}, which no folder can have."
            )
        return found

    @property
    def root(self) -> Path:
        """The copy of the folder or of the file; its files are there after `fetch`."""
        return self.folder if self.is_folder else self.folder / next(iter(self.versions))

    def fetch(self, names: Iterable[str]) -> None:
        """Copy files whose version is not on this machine yet, several at once."""
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            for _ in pool.map(self._fetch, dict.fromkeys(names)):
                pass

    def _fetch(self, name: str) -> None:
        target = self.folder / name
        note = target.with_name(f".{target.name}.version")
        if target.is_file() and note.is_file() and note.read_text(encoding="utf-8") == self.versions[name]:
            return
        note.unlink(missing_ok=True)
        with _named(f"{self.shown} ({name})"), files.replacing(target) as partial:
            self.store.get(name, partial)
        note.write_text(self.versions[name], encoding="utf-8")


@contextlib.contextmanager
def _named(shown: str) -> Iterator[None]:
    """Turns errors of a client into a DataError with the address and without secrets."""
    try:
        yield
    except (DataError, ConfigError):
        raise
    except Exception as error:
        raise DataError(f"Data source {shown} cannot be read: {mask(str(error))}") from None


class S3Store:
    """Objects of S3 (or a server that speaks it), with the credentials that boto3
    finds in the environment."""

    is_folder = False

    def __init__(self, address: str) -> None:
        self.bucket, _, self.key = address.partition("://")[2].partition("/")
        try:
            import boto3
        except ImportError:
            raise ConfigError(
                "Reading s3:// needs boto3. Install it with: pip install 'mlops-lib[s3]'"
            ) from None
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("MLFLOW_S3_ENDPOINT_URL")
        self.client = boto3.client("s3", endpoint_url=endpoint or None)

    def versions(self) -> dict[str, str]:
        """ETags of the object, or of all objects below the prefix."""
        from botocore.exceptions import ClientError

        if self.key and not self.key.endswith("/"):
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=self.key)
                return {self.key.rpartition("/")[2]: found["ETag"]}
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
                    raise
        self.is_folder = True
        self.key = f"{self.key.rstrip('/')}/" if self.key else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key)
        return {
            item["Key"].removeprefix(self.key): item["ETag"]
            for page in pages
            for item in page.get("Contents", ())
            if not item["Key"].endswith("/")
        }

    def get(self, name: str, target: Path) -> None:
        """Download an object."""
        self.client.download_file(self.bucket, self.key + name if self.is_folder else self.key, str(target))


class ArrowStore:
    """Files of Google Cloud Storage or Azure, through pyarrow, with the credentials of the environment."""

    is_folder = False

    def __init__(self, address: str) -> None:
        from pyarrow import fs

        scheme, _, path = address.partition("://")
        self.path = path.rstrip("/")
        if scheme in ("gs", "gcs"):
            self.files = fs.GcsFileSystem()
        else:
            account = os.environ.get("AZURE_STORAGE_ACCOUNT") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
            if not account:
                raise ConfigError("Reading az:// needs the environment variable AZURE_STORAGE_ACCOUNT.")
            key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
            self.files = fs.AzureFileSystem(account, key)

    def versions(self) -> dict[str, str]:
        """Size and time of change of the file, or of all files below the folder."""
        from pyarrow import fs

        info = self.files.get_file_info(self.path)
        if info.type == fs.FileType.NotFound:
            return {}
        self.is_folder = info.type == fs.FileType.Directory
        found = (
            self.files.get_file_info(fs.FileSelector(self.path, recursive=True)) if self.is_folder else [info]
        )
        return {
            item.path.removeprefix(f"{self.path}/")
            if self.is_folder
            else item.base_name: f"{item.size} {item.mtime_ns}"
            for item in found
            if item.type == fs.FileType.File
        }

    def get(self, name: str, target: Path) -> None:
        """Download a file."""
        path = f"{self.path}/{name}" if self.is_folder else self.path
        with self.files.open_input_stream(path) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


#: Scheme of an address -> its store.
STORES: dict[str, Callable[[str], Store]] = {
    "s3": S3Store, "s3a": S3Store, "gs": ArrowStore, "gcs": ArrowStore, "az": ArrowStore, "abfs": ArrowStore,
    "abfss": ArrowStore,
}  # fmt: skip


def open_remote(address: str, cache: Path | None = None, password: str = "") -> Remote:
    """The files at an address.

    Raises:
        DataError: The scheme is unknown.
        ConfigError: A package or an environment variable is missing.
    """
    scheme = address.partition("://")[0].lower()
    shown = mask(address).rstrip("/")
    folder = cache or Path(tempfile.gettempdir()) / "mlops-remote"
    if scheme in ("http", "https"):
        return Remote(web.WebStore(address, password), shown, folder)
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in (*STORES, "https", "file"))
        raise DataError(
            f"The local loader reads paths and {known}, and data.source is {shown}. See docs/data.md."
        )
    with _named(shown):
        return Remote(STORES[scheme](address), shown, folder)
