"""API keys and their rate limits, from a YAML file that is read again whenever it changes.

    - {name: shop, sha256: 9f86d081..., rate_per_s: 50}
    - {name: ops, sha256: 60303ae2..., admin: true}

The file has only digests. `mlops key` makes keys that are long and random, so nobody can find a key from its
SHA-256. To rotate a key: add the new line, move the callers, remove the old line.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from mlops_lib.errors import InputError
from mlops_lib.redact import mask_secrets
from mlops_lib.settings import Section
from serving.web.problems import Problem

log = logging.getLogger("serving")
#: Seconds between checks of the file for changes.
POLL_S = 1.0
#: A name that needs no quotes in YAML, unless YAML reads it as another type ("yes").
PLAIN_NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
MAX_NAME_CHARS = 100


class Key(Section):
    """One line of the file."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    admin: bool = False
    rate_per_s: float = Field(0, ge=0, strict=False)


@dataclass
class _Bucket:
    """A token bucket: a second's worth may come at once."""

    tokens: float
    at: float = field(default_factory=time.monotonic)

    def wait_s(self, rate_per_s: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = time.monotonic()
        self.tokens = min(max(rate_per_s, 1.0), self.tokens + (now - self.at) * rate_per_s)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / rate_per_s


class Keys:
    """The keys that callers may use, and how often.

    Args:
        file: None: inference is open to everyone, and the admin routes are closed.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._keys: list[tuple[bytes, Key]] = []
        self._buckets: dict[str, _Bucket] = {}
        self._checked_at, self._changed_at = 0.0, 0.0

    def admit(self, given: bytes, admin: bool) -> str:
        """The name of a caller with this key, who may go on; "" where the service has no keys.

        Threads, requests and feedback belong to the name, so that they stay with a
        caller whose key is rotated.

        Raises:
            Problem: 401 without a known key, 403 for an admin route without an admin's, 429 too fast.
        """
        if self.file is None:
            if admin:
                detail = "Admin routes need a key, and this service has none: set serving.api_keys."
                raise Problem(HTTPStatus.FORBIDDEN, "admin_disabled", detail)
            return ""
        key = self._find(given)
        if key is None:
            detail = "Send a known API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
            raise Problem(HTTPStatus.UNAUTHORIZED, "unknown_key", detail)
        if admin and not key.admin:
            raise Problem(HTTPStatus.FORBIDDEN, "not_admin", f"The key of {key.name!r} is no admin's.")
        if key.rate_per_s:
            bucket = self._buckets.setdefault(key.sha256, _Bucket(max(key.rate_per_s, 1.0)))
            if wait_s := bucket.wait_s(key.rate_per_s):
                detail = f"The key of {key.name!r} may send {key.rate_per_s:g} requests a second."
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, int(wait_s) + 1)
        return key.name

    def _find(self, given: bytes) -> Key | None:
        self._read_again()
        digest = hashlib.sha256(given).hexdigest().encode()
        found = None
        for known, key in self._keys:  # all of them: the time taken must not tell which one fits
            if hmac.compare_digest(known, digest):
                found = key
        return found

    def _read_again(self) -> None:
        """Read the file if it has changed. A file that cannot be read leaves the keys as they were."""
        now = time.monotonic()
        if now - self._checked_at < POLL_S and self._checked_at:
            return
        self._checked_at = now
        assert self.file
        try:
            changed_at = self.file.stat().st_mtime
            if changed_at != self._changed_at:
                lines = TypeAdapter(list[Key]).validate_python(
                    yaml.safe_load(self.file.read_text(encoding="utf-8")) or []
                )
                self._keys = [(key.sha256.encode(), key) for key in lines]
                self._changed_at = changed_at
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            log.error("API keys in %s cannot be read: %s", self.file, type(error).__name__)
        except ValidationError as error:
            bad = [".".join(map(str, problem["loc"])) for problem in error.errors()]
            log.error("API keys in %s are not valid at: %s", self.file, ", ".join(bad))


def make(name: str, admin: bool) -> tuple[str, str]:
    """A new random key, and the line for the file.

    Raises:
        InputError: The name is empty, too long, or has a line end or another control character.
    """
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise InputError(
            f"The name of a key has 1 to {MAX_NAME_CHARS} printable characters and no line end, not {name!r}."
        )
    key = secrets.token_urlsafe(32)
    while mask_secrets(key) != key:  # it would be masked in this command's own output
        key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    plain = PLAIN_NAME.fullmatch(name) and yaml.safe_load(name) == name
    shown = (
        name if plain else yaml.safe_dump(name, default_style='"', allow_unicode=True, width=2**16).strip()
    )
    return key, f"- {{name: {shown}, sha256: {digest}{', admin: true' if admin else ''}}}"


def given_key(authorization: bytes, x_api_key: bytes) -> bytes:
    """The key that a request carries; b"" for none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else x_api_key
