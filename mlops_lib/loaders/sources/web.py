"""One file on a web server."""

import base64
import shutil
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

TIMEOUT_S = 60


class WebStore:
    """The file at an http address.

    Args:
        address: The address, which may have a user.
        password: Of the user; without a user, a bearer token.
    """

    is_folder = False

    def __init__(self, address: str, password: str = "") -> None:
        parts = urlsplit(address)
        user, _, host = parts.netloc.rpartition("@")
        self.address = urlunsplit(parts._replace(netloc=host))
        self.name = PurePosixPath(unquote(parts.path)).name or host
        self.headers: dict[str, str] = {}
        if user:
            pair = base64.b64encode(f"{unquote(user)}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {pair}"
        elif password:
            self.headers["Authorization"] = f"Bearer {password}"

    def versions(self) -> dict[str, str]:
        """The ETag, or the time of change and the size; a server that gives neither is
        asked for the file each time."""
        try:
            with self._open("HEAD") as answer:
                headers = answer.headers
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            if error.code not in (400, 403, 405, 501):  # servers that know no HEAD
                raise
            headers = {}
        changed = f"{headers.get('Last-Modified', '')} {headers.get('Content-Length', '')}"
        version = headers.get("ETag") or (changed if headers.get("Last-Modified") else "")
        return {self.name: version or self._digest()}

    def get(self, name: str, target: Path) -> None:
        """Download the file."""
        with self._open("GET") as answer, target.open("wb") as copy:
            shutil.copyfileobj(answer, copy, 1 << 20)
            wanted = answer.headers.get("Content-Length")
        if wanted and target.stat().st_size != int(wanted):
            raise OSError(f"{target.stat().st_size} of {wanted} bytes arrived")

    def _digest(self) -> str:
        import hashlib

        with self._open("GET") as answer:
            return hashlib.file_digest(answer, "sha256").hexdigest()

    def _open(self, method: str) -> Any:
        request = urllib.request.Request(self.address, headers=self.headers, method=method)
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
