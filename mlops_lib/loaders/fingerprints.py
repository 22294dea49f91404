"""Digests of files, remembered, so that unchanged data is not read again to find that it is unchanged."""

import json
import os
import time
from pathlib import Path

from mlops_lib.tracking import sha256

#: A file that changed this recently may change again within one tick of its file system's clock.
SETTLED_S = 1.0


class Fingerprints:
    """SHA-256 of files. A digest is reused while size, inode, modification and change time all stay.

    The change time is what catches a file that was edited in place and given its old modification time: no
    program can set it.

    Args:
        cache: JSON file to remember digests in; None remembers nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self._known = self._read()
        self._new = False

    def sha256(self, file: Path) -> str:
        """Hex digest of a file's bytes."""
        name, before = str(file.resolve()), _identity(file)
        if self._known.get(name, [None])[0] == before:
            return self._known[name][1]
        digest = sha256(file)
        changed_s = max(file.stat().st_mtime, file.stat().st_ctime)
        if _identity(file) == before and time.time() - changed_s > SETTLED_S:
            self._known[name] = [before, digest]
            self._new = True
        return digest

    def save(self) -> None:
        """Write what was learnt; other processes see either the old file or the new one."""
        if not self._new or self.cache is None:
            return
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        partial = self.cache.with_suffix(f".{os.getpid()}.partial")
        known = {name: entry for name, entry in (self._read() | self._known).items() if Path(name).exists()}
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(self.cache)
        self._new = False

    def _read(self) -> dict[str, list]:
        try:
            known = json.loads(self.cache.read_text(encoding="utf-8")) if self.cache else {}
        except (OSError, ValueError):
            return {}
        return (
            {n: e for n, e in known.items() if isinstance(e, list) and len(e) == 2}
            if isinstance(known, dict)
            else {}
        )


def _identity(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
