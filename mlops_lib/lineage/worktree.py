"""The code of a version in a folder of its own, with the files that Git does not
have linked to the user's."""

import contextlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mlops_lib import files
from mlops_lib.errors import ReproductionError
from mlops_lib.lineage import git
from mlops_lib.lineage.manifest import ARCHIVE, DIFF
from mlops_lib.lineage.stored import Stored

#: Called with a sentence about what is done.
Say = Callable[[str], None]
#: A hook of the user's repository must not run here.
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


@contextlib.contextmanager
def code_of(stored: Stored, project: Path, target: Path, keep: bool, say: Say) -> Iterator[Path]:
    """Make the code of a version, and yield its project folder; the folder goes with the block.

    Args:
        stored: The lineage of the version.
        project: The user's project; its files are read only.
        target: Folder to make: a worktree of the project's repository, or the archived files.
        keep: Leave the folder there.
        say: Called with the code's origin, and with each file that is not as it was.

    Raises:
        ReproductionError: The commit is not in the repository, or the patch does not fit.
    """
    manifest = stored.manifest
    with contextlib.ExitStack() as stack:
        if archive := stored.file(ARCHIVE):
            with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as found:
                found.extractall(target)
            say(f"Code: the {len(found.namelist())} files that were stored with the run")
            top = project
        else:
            if manifest["code"]["from"] == "archive" and not manifest["commit"]:
                raise ReproductionError(f"The run has no code. {manifest['code']['unknown']}")
            top = _top_of(project)
            stack.enter_context(_checked_out(top, manifest["commit"], target, keep))
            if patch := stored.file(DIFF):
                _apply(patch, target)
            shown = manifest["commit"][:12] or "no commit"
            say(f"Code: {shown}{' and its uncommitted changes' if stored.file(DIFF) else ''}")
            for path in _submodules(target) if manifest["commit"] else ():
                say(f"Not restored: {path} (a submodule, whose repository may be elsewhere)")
        for line in restore(manifest["code"], top, target):
            say(line)
        yield target / manifest["code"]["folder"]


def restore(code: dict[str, Any], top: Path, target: Path) -> Iterator[str]:
    """Link the files that the run could not store to the user's, where those are unchanged.

    Yields:
        A sentence about each file.
    """
    wanted = {one["path"]: (one["sha256"], one["size"]) for one in code["left_out"]}
    wanted |= {path: (digest, None) for path, digest in code["masked"].items()}
    for path, (digest, size) in wanted.items():
        own = top / path
        same = own.is_file() and (
            files.sha256(own) == digest if digest else size is not None and own.stat().st_size == size
        )
        if same:
            _put(own, target / path)
            yield f"Read in place: {own} (not stored with the run, unchanged since)"
        elif path in code["masked"]:
            yield f"With *** for its secrets: {path} (the file here has changed since)"
        else:
            yield f"Not restored: {path} (not stored with the run, and {'changed' if own.exists() else 'gone'} since)"


def link_unstored(texts: Iterable[str], source: str, project: Path, target: Path) -> Iterator[str]:
    """Link the files of the user's project that settings name and the lineage has not: Git ignores them.

    Args:
        texts: Values of settings.
        source: The value of ``data.source``. Data is never stored, so its files need not be ignored.
        project: The user's project.
        target: The project folder of the version.

    Yields:
        A sentence about each setting that names such files.
    """
    for text in dict.fromkeys(texts):
        name = text.removeprefix("sqlite:///")
        if not name or "://" in name or Path(name).is_absolute():
            continue
        try:
            own = Path(os.path.abspath(project / name))
            if own == project or not own.is_relative_to(project) or not own.exists():
                continue
        except (OSError, ValueError):  # a text that cannot be a path, such as a prompt
            continue
        found = [
            path
            for path in _unstored(own, project, text == source)
            if "__pycache__" not in path.parts and not (target / path.relative_to(project)).exists()
        ]
        for path in found:
            # Feature stores write to their registries, and the user's must stay as it is.
            _put(path, target / path.relative_to(project), copy=path.suffix == ".db" and text != source)
        if found:
            yield f"Read in place: {own}{'' if found == [own] else f' ({len(found)} files)'}, which is not stored with the run"


def _unstored(own: Path, project: Path, is_data: bool) -> list[Path]:
    """Files at a path that Git ignores or, for data, does not track; without a repository all of them."""
    only = () if is_data else ("--ignored", "--exclude-standard")
    literal = {"GIT_LITERAL_PATHSPECS": "1"}
    path = str(own.relative_to(project))
    try:
        listed = git.run(project, "ls-files", "--others", *only, "-z", "--", path, environment=literal)
    except git.NoGit:
        return [own] if own.is_file() else sorted(one for one in own.rglob("*") if one.is_file())
    return [project / name for name in os.fsdecode(listed).split("\0") if name]


def _put(own: Path, target: Path, copy: bool = False) -> None:
    """Put a link to a file, or a copy of it, where the code of the version expects it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if copy:
        shutil.copy2(own, target)
    else:
        target.symlink_to(own.resolve())


def _top_of(project: Path) -> Path:
    try:
        return Path(os.fsdecode(git.run(project, "rev-parse", "--show-toplevel")).removesuffix("\n"))
    except git.NoGit as error:
        raise ReproductionError(
            f"The version was trained in a Git repository, and {project} is in none ({error}). Run this in a clone of it."
        ) from None


@contextlib.contextmanager
def _checked_out(top: Path, commit: str, target: Path, keep: bool) -> Iterator[None]:
    if not commit:  # trained before the first commit: the patch has all files
        target.mkdir(parents=True)
        yield
        return
    try:
        git.run(top, "cat-file", "-e", f"{commit}^{{commit}}")
    except git.NoGit:
        raise ReproductionError(
            f"Commit {commit} is not in the repository at {top}. Fetch the branch that has it: git fetch --all."
        ) from None
    try:
        git.run(top, *NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(target), commit)
    except git.NoGit as error:
        raise ReproductionError(f"Commit {commit} cannot be checked out: {error}.") from None
    try:
        yield
    finally:
        if not keep:
            # Without `prune`, which would forget worktrees of the user's on a drive that is not there now.
            with contextlib.suppress(git.NoGit):
                git.run(top, "worktree", "remove", "--force", str(target))
            shutil.rmtree(target, ignore_errors=True)


def _submodules(target: Path) -> list[str]:
    """Paths of the submodules of a worktree. Git leaves them empty."""
    listed = os.fsdecode(git.run(target, "ls-files", "--stage", "-z")).split("\0")
    return [line.partition("\t")[2] for line in listed if line.startswith("160000 ")]


def _apply(patch: Path, target: Path) -> None:
    # Outside a repository, `git apply` must not find one above.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(target.parent)}
    try:
        git.run(target, "apply", "--binary", "--whitespace=nowarn", str(patch), environment=ceiling)
    except git.NoGit as error:
        raise ReproductionError(f"The uncommitted changes do not fit their commit: {error}.") from None
