"""The code files of a project outside Git, as a ZIP file: same files, same bytes."""

import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mlops_lib import files
from mlops_lib.lineage.code_files import LeftOut, described, has_secret, is_text, masked, sorted_out
from mlops_lib.redact.keys import Masker

#: Files that people write. A project's data is none of them, and lies in `skipped` where it is JSON or text.
SUFFIXES = (
    ".py", ".ipynb", ".md", ".txt", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".sql", ".jinja", ".j2", ".sh", ".pyx",
    ".lock",
)  # fmt: skip
#: A folder with more files is no project.
MAX_FILES = 5_000


class Archive(NamedTuple):
    """A ZIP file and the files that it has, lacks, and has with masked secrets (path
    -> SHA-256 of the file itself).

    It is empty where `is_project` is false.
    """

    content: bytes
    paths: list[str]
    left_out: list[LeftOut]
    masked: dict[str, str]
    is_project: bool = True


def archive_of(project: Path, skipped: Iterable[Path] = ()) -> Archive:
    """The code files of a project, but for hidden folders, virtual environments and `skipped`."""
    project, skipped = project.resolve(), [path.resolve() for path in skipped]
    found = list(islice(_walk(project, skipped), MAX_FILES + 1))
    if len(found) > MAX_FILES:  # a home folder, say, whose files must not be stored
        return Archive(b"", [], [], {}, False)
    taken, left = sorted_out(project, found, skipped)
    files_taken = {project / path for path in taken}
    masker, digests, paths = Masker(), dict[str, str](), list[str]()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for path in taken:
            if (project / path).resolve() not in files_taken:
                left += described(project, [(path, "a link to a file that is not stored")])
                continue
            try:
                content = (project / path).read_bytes()
            except OSError as error:
                left.append(LeftOut(path, f"cannot be read: {error.strerror}"))
                continue
            if has_secret(content, masker):
                digest = files.sha256_of(content)
                if not is_text(content):
                    left.append(LeftOut(path, "it holds a secret", digest, len(content)))
                    continue
                digests[path] = digest
                content = masked(content, masker)
            paths.append(path)
            # A fixed time: the archive's digest depends on names and contents alone.
            made.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return Archive(target.getvalue(), paths, left, digests)


def _walk(project: Path, skipped: list[Path]) -> Iterator[str]:
    # os.path takes a folder that may not be read, such as lost+found of a volume, for one without files.
    for parent, folders, names in os.walk(project):
        here = Path(parent)
        for name in sorted(names):
            path = here / name
            if path.suffix in SUFFIXES and os.path.isfile(path) and path not in skipped:
                yield path.relative_to(project).as_posix()
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__"))
            and name not in ("node_modules", "mlruns", "mlartifacts")
            and here / name not in skipped
            and not os.path.exists(here / name / "pyvenv.cfg")
        )
