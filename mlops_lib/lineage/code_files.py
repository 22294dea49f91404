"""Which files of a working tree may be stored with a run: not too large, and without secrets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mlops_lib import files
from mlops_lib.redact.keys import Masker

#: Of one file, and of all files that are stored together.
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 4 * 2**20, 32 * 2**20
#: Of all files that are left out and hashed. Beyond it only their sizes are stored.
MAX_HASHED_BYTES = 256 * 2**20
#: Files that the manifest lists; it counts the others.
MAX_LISTED = 200
#: Names of files that hold secrets, whatever is in them.
SECRET_NAMES = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "id_rsa*", "id_ed25519*",
    ".netrc", ".pgpass", ".pypirc", ".git-credentials", "credentials", "credentials.*", "secrets.*",
)  # fmt: skip
#: Names that look like the ones above, of files that are made to be shared.
SHARED_NAMES = ("*.example", "*.sample", "*.template")


@dataclass(frozen=True)
class LeftOut:
    """A file that is not stored.

    Attributes:
        path: Relative to the top of the repository, or to the project without one.
        reason: Why it is not stored.
        sha256: Digest of its bytes; "" where it is unknown.
        size: In bytes.
    """

    path: str
    reason: str
    sha256: str = ""
    size: int = 0


def sorted_out(top: Path, paths: Iterable[str], skipped: Iterable[Path]) -> tuple[list[str], list[LeftOut]]:
    """The paths that may be stored, and those that may not; a file that no longer exists may.

    Args:
        top: Folder that `paths` are relative to.
        paths: Files of the working tree.
        skipped: Files and folders that hold no code: the data, the work folder.
    """
    skipped = [path.resolve() for path in skipped]
    taken: list[str] = []
    left: list[tuple[str, str]] = []
    total = 0
    for path, size in sorted(((path, _size(top / path)) for path in paths), key=lambda pair: pair[1]):
        if reason := _reason(top / path, size, skipped):
            left.append((path, reason))
        elif total + size > MAX_TOTAL_BYTES:
            left.append((path, f"the files together are larger than {MAX_TOTAL_BYTES // 2**20} MiB"))
        else:
            total += size
            taken.append(path)
    return sorted(taken), list(described(top, sorted(left)))


def described(top: Path, left: Iterable[tuple[str, str]]) -> Iterator[LeftOut]:
    """The files left out, with their digests and sizes, up to `MAX_HASHED_BYTES`."""
    hashed = 0
    for path, reason in left:
        file = top / path
        size, digest = _size(file), ""
        if file.is_file() and hashed + size <= MAX_HASHED_BYTES:
            try:
                digest = files.sha256(file)
                hashed += size
            except OSError as error:
                reason = f"{reason}; cannot be read: {error.strerror}"
        yield LeftOut(path, reason, digest, size)


def is_text(content: bytes) -> bool:
    """Whether Git shows a change of this content line by line."""
    return b"\0" not in content


def has_secret(content: bytes, masker: Masker) -> bool:
    """Whether content holds a known secret or, in a text, a key of a well-known shape."""
    if not is_text(content):
        return masker.known(content) != content
    text = content.decode("utf-8", "surrogateescape")
    return masker(text) != text


def masked(content: bytes, masker: Masker) -> bytes:
    """A text without its secrets."""
    return masker(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _reason(file: Path, size: int, skipped: list[Path]) -> str:
    name = file.name.lower()
    if any(fnmatch(name, pattern) for pattern in SECRET_NAMES) and not any(
        fnmatch(name, pattern) for pattern in SHARED_NAMES
    ):
        return "by its name it holds secrets"
    if any(file.is_relative_to(folder) for folder in skipped):
        return "data, whose fingerprint is stored"
    if size > MAX_FILE_BYTES:
        return f"larger than {MAX_FILE_BYTES // 2**20} MiB"
    if file.is_symlink() or not file.exists():
        return ""
    if not file.is_file():
        return "no file: a folder with a repository of its own, or a special file"
    try:
        with file.open("rb"):
            return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # deleted
        return 0
