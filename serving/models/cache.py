"""Model files on disk. The service starts from the last version that worked when the registry is down.

<cache>/<model>/3-<digest>/           the model's files
<cache>/<model>/3-<digest>.json       version, stage, run, and the SHA-256 over the files
<cache>/<model>/good-<wanted>.json    the version that last served what was wanted (a stage, say)
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from mlops_lib.errors import ModelError
from mlops_lib.files import digest_of_folder, read_json, write_json
from mlops_lib.registry import ModelVersion
from mlops_lib.registry.model_files import added_files

#: Versions kept on disk for each model.
MAX_VERSIONS = 4
#: Characters of a model's name in its folder's name.
MAX_NAME = 60


class ModelCache:
    """Model files by version and digest.

    Args:
        folder: Made when it is not there; several processes may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Folder -> its open shared locks, one for each `hold`.
        self._locks: dict[Path, list[int]] = defaultdict(list)

    def hold(self, folder: Path) -> None:
        """Keep a version's folder until `release`, or until this process ends.
        No worker deletes it meanwhile.

        Raises:
            ModelError: Another worker has deleted it, or is about to.
        """
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
        except OSError as error:
            raise ModelError(f"Another worker has just deleted {folder}; it is downloaded again.") from error
        self._locks[folder].append(lock)

    def release(self, folder: Path) -> None:
        """Take back one `hold`."""
        os.close(self._locks[folder].pop())

    def fetch(self, version: ModelVersion) -> Path:
        """The folder of the version's files. They are downloaded unless they are here and unchanged.

        Raises:
            ModelError: They cannot be downloaded or written.
        """
        for card_file in self._home(version.name).glob(f"{version.version}-*.json"):
            card = read_json(card_file)
            folder = card_file.with_suffix("")
            # A model that was deleted and made again starts at version 1:
            # its number must not find the old files.
            same = card.get("run_id") == version.run_id and card.get("created_ms") == version.created_ms
            if same and folder.is_dir() and digest_of_folder(folder) == card.get("digest"):
                # With its tags of today: a version may have been signed since it was downloaded.
                write_json(card_file, {**asdict(version), "digest": card["digest"]})
                return folder
        return self._download(version)

    def mark_good(self, wanted: str, folder: Path) -> None:
        """Record that the version in `folder` serves `wanted`,
        and delete the versions that were not used for longest.

        A folder that any worker holds stays: the worker may start a process of it again.
        """
        home = folder.parent
        write_json(home / f"good-{quote(wanted, safe='')}.json", {"folder": folder.name})
        good = {read_json(file).get("folder") for file in home.glob("good-*.json")}
        cards = sorted(home.glob("[0-9]*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for card in cards[MAX_VERSIONS:]:
            if card.stem in good:
                continue
            with _unused(card.with_suffix("")) as unused:
                if unused:
                    card.unlink(missing_ok=True)
                    shutil.rmtree(card.with_suffix(""), ignore_errors=True)

    def last_good(self, name: str, wanted: str) -> tuple[ModelVersion, Path]:
        """The version that last served `wanted`, and its files.

        Raises:
            ModelError: There is none, or its files have changed.
        """
        home = self._home(name)
        folder = home / str(read_json(home / f"good-{quote(wanted, safe='')}.json").get("folder", "-"))
        card = read_json(Path(f"{folder}.json"))
        if not card or not folder.is_dir():
            raise ModelError(f"The cache {self.folder} has no version of {name!r} that served {wanted}.")
        if digest_of_folder(folder) != card.pop("digest"):
            raise ModelError(
                f"The files in {folder} have changed since they were downloaded. Delete the folder."
            )
        return ModelVersion(**{**card, "aliases": tuple(card["aliases"])}), folder

    def digest(self, folder: Path) -> str:
        """The model's digest, where `fetch` or `last_good` has just hashed the files;
        "" where it must be computed."""
        # Files of an older release's cache, whose digest covers them too.
        return "" if any(added_files(folder)) else str(read_json(Path(f"{folder}.json")).get("digest", ""))

    def _download(self, version: ModelVersion) -> Path:
        from mlops_lib.wrappers import download

        home = self._home(version.name)
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home, prefix=".incoming-") as incoming:
                files = download(version.uri, Path(incoming))
                # Bytecode from a store would run, and is no part of the model's digest.
                for added in list(added_files(files)):
                    added.unlink()
                digest = digest_of_folder(files)
                folder = home / f"{version.version}-{digest[:12]}"
                if folder.is_dir() and digest_of_folder(folder) != digest:
                    shutil.rmtree(folder)
                if not folder.is_dir():
                    try:
                        files.rename(folder)
                    except OSError:  # another process was faster
                        if not folder.is_dir():
                            raise
            write_json(Path(f"{folder}.json"), {**asdict(version), "digest": digest})
        except OSError as error:
            raise ModelError(f"Cannot write {version.uri} to the cache {self.folder}: {error}") from error
        return folder

    def _home(self, name: str) -> Path:
        return self.folder / _folder_name(name)


@contextlib.contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """Whether no worker holds the folder. If so, none can hold it until the context ends."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # only its card is left
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError:  # held, or the file system has no locks
        free = False
    try:
        yield free
    finally:
        os.close(lock)


def _folder_name(name: str) -> str:
    """A folder's name for any model name. MLflow decodes ``%`` in paths,
    and a file system takes 255 bytes."""
    readable = re.sub(r"[^\w.-]", "_", name)[:MAX_NAME]
    if readable == name and not name.startswith("."):
        return name
    return f"_{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
