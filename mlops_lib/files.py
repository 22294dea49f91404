"""Digests of files and folders, and atomic writes."""

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def sha256(file: Path) -> str:
    """Hex digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of(content: bytes) -> str:
    """Hex digest of some bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_of_folder(folder: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256 over the names and bytes of the files below `folder`.

    Args:
        folder: Names count relative to it.
        files: The files that count; None: all of them.
    """
    if files is None:
        files = (path for path in folder.rglob("*") if path.is_file())
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{sha256(file)} {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; it takes the place of `file` when the block ends without an error.

    Other processes see the old file or the new one, never half of it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not made by tempfile, whose files only their owner may read: steps in other containers read them too.
    partial = file.with_name(f".{file.name}-{uuid.uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object as JSON; see `replacing`."""
    with replacing(file) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty when there is no such file, or it holds no whole object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
