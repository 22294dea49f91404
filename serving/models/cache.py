"""Versions that are known to have worked, on disk: what the service starts from when the registry is down.

<cache>/<model>/3-<digest>/           the model's files
<cache>/<model>/3-<digest>.json       version, stage, run, and the SHA-256 over the files
<cache>/<model>/good-<wanted>.json    which of them last served what was wanted (a stage, say)
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlops_lib.errors import ModelError
from mlops_lib.registry import ModelVersion

log = logging.getLogger("serving")
#: Versions kept on disk for each model.
KEPT = 4


class ModelCache:
    """Model files by version and digest.

    Args:
        folder: Made when it is not there; several processes may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, version: ModelVersion) -> Path:
        """The version's files, downloaded unless they are here and unchanged.

        Raises:
            ModelError: They cannot be downloaded or written.
        """
        for card_file in self._home(version.name).glob(f"{version.version}-*.json"):
            card = _read(card_file)
            folder = card_file.with_suffix("")
            # A deleted model starts again at version 1: the same number must not bring back the old files.
            same = card.get("run_id") == version.run_id and card.get("created_ms") == version.created_ms
            if same and folder.is_dir() and digest_of(folder) == card.get("digest"):
                os.utime(card_file)
                return folder
        return self._download(version)

    def mark_good(self, wanted: str, folder: Path) -> None:
        """Remember that what is in `folder` serves `wanted`, and take out what has not been used for long."""
        home = folder.parent
        _write(home / f"good-{quote(wanted, safe='')}.json", {"folder": folder.name})
        good = {_read(file).get("folder") for file in home.glob("good-*.json")}
        cards = sorted(home.glob("[0-9]*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for card in cards[KEPT:]:
            if card.stem not in good:
                card.unlink(missing_ok=True)
                shutil.rmtree(card.with_suffix(""), ignore_errors=True)

    def last_good(self, name: str, wanted: str) -> tuple[ModelVersion, Path]:
        """The version that last served `wanted`, and its files.

        Raises:
            ModelError: There is none, or its files are not what they were.
        """
        home = self._home(name)
        folder = home / str(_read(home / f"good-{quote(wanted, safe='')}.json").get("folder", "-"))
        card = _read(Path(f"{folder}.json"))
        if not card or not folder.is_dir():
            raise ModelError(f"No version of {name!r} that served {wanted} is kept in {self.folder}.")
        if digest_of(folder) != card.pop("digest"):
            raise ModelError(f"The files kept in {folder} are not what was downloaded: delete them.")
        return ModelVersion(**{**card, "aliases": tuple(card["aliases"])}), folder

    def _download(self, version: ModelVersion) -> Path:
        from mlops_lib.wrappers import download

        home = self._home(version.name)
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home, prefix=".incoming-") as incoming:
                files = download(version.uri, Path(incoming))
                digest = digest_of(files)
                folder = home / f"{version.version}-{digest[:12]}"
                if folder.is_dir() and digest_of(folder) != digest:
                    shutil.rmtree(folder)
                if not folder.is_dir():
                    try:
                        files.rename(folder)
                    except OSError:  # another process was faster
                        if not folder.is_dir():
                            raise
            _write(Path(f"{folder}.json"), {**asdict(version), "digest": digest})
        except OSError as error:
            raise ModelError(f"Cannot keep {version.uri} in {self.folder}: {error}") from error
        return folder

    def _home(self, name: str) -> Path:
        return self.folder / quote(name, safe="")


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below `folder`."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            part = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{part} {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty for one that is not there or not whole."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: a process may die, or another read, at any moment."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
        json.dump(content, temporary)
    os.replace(temporary.name, file)
