"""Cached digests of files, so that unchanged data is not read again."""

import time
from pathlib import Path

from mlops_lib import files
from mlops_lib.settings import Settings

#: A file that changed this recently may change again within one tick of its file system's clock.
SETTLED_S = 1.0


def cache_file(settings: Settings) -> Path:
    """The file that digests are cached in."""
    return settings.path(settings.pipeline.work_dir) / "fingerprints.json"


class Fingerprints:
    """SHA-256 of files. A digest is reused while size, inode,
    modification time and change time all stay the same.

    The change time detects a file that was edited in place and given its old modification time:
    no program can set it.

    Args:
        cache: JSON file to cache digests in; None caches nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self._known = self._read()
        self._changed = False

    def sha256(self, file: Path) -> str:
        """Hex digest of a file's bytes."""
        name, before = str(file.resolve()), _identity(file)
        if self._known.get(name, [None])[0] == before:
            return self._known[name][1]
        digest = files.sha256(file)
        changed_s = max(file.stat().st_mtime, file.stat().st_ctime)
        if _identity(file) == before and time.time() - changed_s > SETTLED_S:
            self._known[name] = [before, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Write new digests to the cache, beside those that other processes wrote;
        drop files that are gone."""
        if not self._changed or self.cache is None:
            return
        known = {name: entry for name, entry in (self._read() | self._known).items() if Path(name).exists()}
        files.write_json(self.cache, known)
        self._changed = False

    def _read(self) -> dict[str, list]:
        known = files.read_json(self.cache) if self.cache else {}
        return {name: entry for name, entry in known.items() if isinstance(entry, list) and len(entry) == 2}


def _identity(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
