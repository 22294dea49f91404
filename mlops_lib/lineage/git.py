"""The code of a run from Git: the commit, and the uncommitted changes as a patch that `git apply` takes.

The user's index, files and object store stay as they are: the patch is made through an index and an
object store in a temporary folder.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from mlops_lib import files
from mlops_lib.lineage.code_files import LeftOut, described, has_secret, masked, sorted_out
from mlops_lib.redact.keys import Masker

TIMEOUT_S = 60.0
#: Objects that are read at once.
OBJECTS = 200
#: Plumbing, which no setting of the user changes.
DIFF = (
    "diff-index", "-p", "--cached", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip
_SIGN = re.compile(rb"^[-+ ]", re.MULTILINE)
#: Git's name for HEAD before the first commit.
UNBORN = "(initial)"


class NoGit(Exception):
    """There is no repository, no Git, or it does not answer; the message says which."""


class Failed(NoGit):
    """A command of Git ended with an error; the message has its first line."""


class Damaged(Exception):
    """An object of a repository is not what its name says; the message has Git's words."""


@dataclass(frozen=True)
class Code:
    """The state of a repository.

    Attributes:
        commit: Of HEAD; "" before the first one.
        folder: The project's folder below the top of the repository, with a slash at its end; "" for the top.
        diff: Patch from the commit to the working tree; empty for a clean one.
        changed: Paths that the patch changes.
        left_out: Changed files that the patch lacks.
        masked: Files whose secrets are masked in the patch: path -> SHA-256 of the file itself.
    """

    commit: str
    folder: str
    diff: bytes = b""
    changed: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    masked: dict[str, str] = field(default_factory=dict)


def run(
    folder: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> bytes:
    """The output of a Git command.

    Raises:
        NoGit: It cannot be run, fails or takes too long.
    """
    command = ["git", "--no-optional-locks", "-c", "core.safecrlf=false", "-C", str(folder), *arguments]
    variables = {**os.environ, "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", **(environment or {})}
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=True, env=variables
        )
    except subprocess.CalledProcessError as error:
        line = next(iter(error.stderr.decode(errors="replace").splitlines()), "no message")
        raise Failed(f"git {arguments[0]}: {line}") from None
    except subprocess.TimeoutExpired:
        raise NoGit(f"git {arguments[0]} took more than {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise NoGit(f"git cannot be run: {error.strerror}") from None
    return done.stdout


def verify(folder: Path, commit: str) -> None:
    """Read a commit with all its folders and files, and hash each again: Git names them by their digests.

    Raises:
        NoGit: The repository does not have all of it, or Git does not answer.
        Damaged: The content of an object has another digest than its name.
    """
    run(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    listed = run(folder, "rev-list", "--objects", "--no-walk", "--no-object-names", commit).split()
    for start in range(0, len(listed), OBJECTS):
        _verify_objects(folder, listed[start : start + OBJECTS])


def _verify_objects(folder: Path, names: list[bytes]) -> None:
    try:
        content = memoryview(run(folder, "cat-file", "--batch", stdin=b"\n".join(names)))
    except Failed as error:
        raise Damaged(str(error)) from None
    at = 0
    for name in names:
        header = bytes(content[at : at + 200]).partition(b"\n")[0]  # NAME KIND SIZE
        found, _, typed = header.partition(b" ")
        kind, _, size = typed.partition(b" ")
        if not size.isdigit():
            raise Damaged(f"{os.fsdecode(name)} cannot be read: {os.fsdecode(header)}")
        begin = at + len(header) + 1
        at = begin + int(size) + 1
        digest = hashlib.new("sha1" if len(name) == 40 else "sha256", typed + b"\0")
        digest.update(content[begin : at - 1])
        if not found == name == digest.hexdigest().encode():
            raise Damaged(f"{os.fsdecode(kind)} {os.fsdecode(name)} has other content than its name says")


def code_of(project: Path, skipped: Iterable[Path] = ()) -> Code:
    """Commit and uncommitted changes of the repository that a project is in.

    Args:
        project: A folder of the repository.
        skipped: Files and folders that hold no code.

    Raises:
        NoGit: There is no repository, or Git does not answer.
    """
    top, prefix, objects = os.fsdecode(
        run(project, "rev-parse", "--show-toplevel", "--show-prefix", "--git-path", "objects")
    ).split("\n")[:3]
    status = run(
        project, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames"
    )
    commit, changed = _parsed(os.fsdecode(status))
    if not changed:
        return Code(commit, prefix)
    root = Path(top)
    taken, left = sorted_out(root, changed, skipped)
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-lineage-") as temporary:
            patch = _Patch(root, commit, Path(temporary), (project / objects).resolve())
            made = patch.of(taken)
    except OSError as error:
        raise NoGit(f"a file changed or vanished while it was read: {error}") from None
    return Code(
        commit,
        prefix,
        made.diff,
        made.paths,
        sorted([*left, *made.left], key=attrgetter("path")),
        made.masked,
    )


class _Made(NamedTuple):
    diff: bytes
    paths: list[str]
    left: list[LeftOut]
    masked: dict[str, str]


@dataclass(frozen=True)
class _Patch:
    """A patch from a commit to some files of the working tree, made in a temporary folder."""

    top: Path
    commit: str
    temporary: Path
    objects: Path

    def of(self, paths: list[str]) -> _Made:
        """The patch of these files, without secrets."""
        masker = Masker()
        diff = self._diff(paths, {})
        hidden = [path for path in self._encoded() if self._has_secret(path, masker)]
        if hidden:
            paths = [path for path in paths if path not in hidden]
            diff = self._diff(paths, {})
        digests: dict[str, str] = {}
        if has_secret(_lines(diff), masker):
            # Secrets that the patch adds are masked. One that it removes is in the commit,
            # and stays out of sight here.
            contents = {
                path: masked((self.top / path).read_bytes(), masker)
                for path in paths
                if has_secret(_lines(self._diff([path], {})), masker) and self._is_plain(path)
            }
            still = [path for path in paths if has_secret(_lines(self._diff([path], contents)), masker)]
            hidden += still
            paths = [path for path in paths if path not in still]
            contents = {path: content for path, content in contents.items() if path in paths}
            digests = {path: files.sha256(self.top / path) for path in contents}
            diff = self._diff(paths, contents)
        left = list(described(self.top, [(path, "it holds a secret") for path in sorted(hidden)]))
        return _Made(diff, paths, left, digests)

    def _encoded(self) -> list[str]:
        """Files of the latest `_diff` whose patch is compressed: binary ones,
        and others by ``.gitattributes``."""
        listed = os.fsdecode(
            self._git("diff-index", "--numstat", "--cached", "--no-renames", "-z", self._base)
        )
        found = (line.split("\t", 2) for line in listed.split("\0") if line)
        return [path for added, _, path in found if added == "-"]

    def _has_secret(self, path: str, masker: Masker) -> bool:
        """Whether a file has a secret, in the working tree or in the commit:
        a compressed patch holds both."""
        if self._is_plain(path) and has_secret((self.top / path).read_bytes(), masker):
            return True
        try:
            return has_secret(self._git("cat-file", "blob", f"{self._base}:{path}"), masker)
        except NoGit:  # a new file
            return False

    def _is_plain(self, path: str) -> bool:
        """Whether a path is a file. Git stores the text of a link and not the file behind it."""
        file = self.top / path
        return file.is_file() and not file.is_symlink()

    @cached_property
    def _base(self) -> str:
        """The commit, or an empty tree before the first one."""
        return self.commit or os.fsdecode(self._git("hash-object", "-t", "tree", "-w", "--stdin")).strip()

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        environment = {
            "GIT_INDEX_FILE": str(self.temporary / "index"),
            "GIT_OBJECT_DIRECTORY": str(self.temporary / "objects"),
        }
        return run(self.top, *arguments, stdin=stdin, environment=environment)

    def _diff(self, paths: Iterable[str], contents: Mapping[str, bytes]) -> bytes:
        """The patch of `paths`, some of which have other contents."""
        # A file, because a colon separates the folders in the variable for it.
        alternates = self.temporary / "objects" / "info" / "alternates"
        alternates.parent.mkdir(parents=True, exist_ok=True)
        alternates.write_bytes(os.fsencode(self.objects) + b"\n")
        self._git("read-tree", self._base)
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self._git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=names)
        for path, content in contents.items():
            if path in paths:
                stored = self._git("hash-object", "-w", f"--path={path}", "--stdin", stdin=content)
                mode = "100755" if os.access(self.top / path, os.X_OK) else "100644"
                self._git("update-index", "--cacheinfo", f"{mode},{os.fsdecode(stored).strip()},{path}")
        return self._git(*DIFF, self._base)


def _lines(diff: bytes) -> bytes:
    """The text of a patch. A sign before a line would hide a key that begins it,
    or part a secret of several lines."""
    return _SIGN.sub(b"", diff.replace(b"\0", b""))


def _parsed(status: str) -> tuple[str, list[str]]:
    """The commit and the changed paths of ``git status --porcelain=v2 --branch -z``."""
    commit, changed = "", []
    #: Fields before the path of each kind of line.
    fields = {"1": 8, "u": 10, "?": 1}
    for line in status.split("\0"):
        if line.startswith("# branch.oid "):
            commit = line.rpartition(" ")[2].replace(UNBORN, "")
        elif line[:1] in fields:
            changed.append(line.split(" ", fields[line[0]])[-1])
    return commit, changed
