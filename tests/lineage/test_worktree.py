"""The code of a version in a folder of its own."""

import pytest

from mlops_lib.errors import ReproductionError
from mlops_lib.files import sha256
from mlops_lib.lineage import manifest, worktree
from mlops_lib.lineage.stored import Stored
from tests.lineage.test_code import KEY, Repository


def new_folder(path):
    path.mkdir()
    return path


@pytest.fixture
def repository(tmp_path):
    return Repository(new_folder(tmp_path / "with: colon"))


def stored(project, folder, settings) -> Stored:
    """The lineage that a training in a project would store."""
    facts, contents = manifest.manifest_of(settings, {}, {})
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return Stored(facts, folder)


@pytest.fixture
def lineage(repository, project, tmp_path):
    """A function that stores the lineage of the repository now."""
    settings = project.settings().model_copy(update={"root": repository.root})
    return lambda: stored(repository.root, tmp_path / "lineage", settings)


def made(lineage, repository, target, keep=False):
    """What the code of the version has for each file, and the sentences about it."""
    said = []
    with worktree.code_of(lineage, repository.root, target, keep, said.append) as code:
        texts = {path.name: path.read_text() for path in code.iterdir() if path.suffix == ".py"}
    return texts, said


def test_the_code_goes_with_the_block_unless_it_is_kept(lineage, repository, tmp_path):
    """The repository knows no worktree afterwards."""
    (repository.root / "model.py").write_text("WIDTH = 2\n")
    now = lineage()
    (repository.root / "model.py").write_text("WIDTH = 3\n")
    texts, said = made(now, repository, tmp_path / "code")
    assert texts == {"model.py": "WIDTH = 2\n", "old.py": "gone = True\n"}
    assert "and its uncommitted changes" in said[0] and not (tmp_path / "code").exists()
    assert len(repository("worktree", "list").splitlines()) == 1
    made(now, repository, tmp_path / "kept", keep=True)
    assert (tmp_path / "kept/model.py").read_text() == "WIDTH = 2\n"


def test_other_worktrees_of_the_user_stay_known(lineage, repository, tmp_path):
    """One may be on a drive that is not there now."""
    repository("worktree", "add", "-q", str(tmp_path / "drive"))
    (tmp_path / "drive").rename(tmp_path / "away")
    made(lineage(), repository, tmp_path / "code")
    (tmp_path / "away").rename(tmp_path / "drive")
    assert len(repository("worktree", "list").splitlines()) == 2
    assert (tmp_path / "code") not in tmp_path.iterdir()


def test_a_submodule_is_said_to_be_missing(lineage, repository, tmp_path):
    """Git would have to fetch it. The folder's name may have a colon, with which Git parts paths."""
    other = Repository(new_folder(tmp_path / "other"))
    repository("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.root), "a: lib")
    repository.commit()
    (repository.root / "model.py").write_text("WIDTH = 2\n")
    assert "Not restored: a: lib (a submodule" in made(lineage(), repository, tmp_path / "code")[1][1]
    assert len(repository("worktree", "list").splitlines()) == 1


def test_a_run_without_code_is_an_error(lineage, repository, tmp_path):
    """It was trained in a folder that is no project, and the error has the reason."""
    now = lineage()
    now.manifest["commit"] = ""
    now.manifest["code"] |= {"from": "archive", "unknown": "/home has more than 5000 files."}
    with pytest.raises(ReproductionError, match="The run has no code. /home has more than 5000 files"):
        made(now, repository, tmp_path / "code")


def test_hooks_of_the_repository_do_not_run(lineage, repository, tmp_path):
    """A hook may do anything."""
    hook = repository.root / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    made(lineage(), repository, tmp_path / "code")
    assert not (tmp_path / "ran").exists()


def test_a_commit_that_is_gone_is_an_error(lineage, repository, tmp_path):
    """It names the commit and how to get it."""
    now = lineage()
    now.manifest["commit"] = "f" * 40
    with pytest.raises(ReproductionError, match=r"Commit f{40} is not in the repository .* git fetch --all"):
        made(now, repository, tmp_path / "code")


def test_a_masked_file_is_the_users_own_while_it_is_unchanged(lineage, repository, tmp_path):
    """Afterwards it has *** for its secrets; both are said."""
    file = repository.root / "client.py"
    file.write_text(f"KEY = '{KEY}'\n")
    now = lineage()
    assert now.manifest["code"]["masked"] == {"client.py": sha256(file)}
    texts, said = made(now, repository, tmp_path / "code")
    assert KEY in texts["client.py"] and f"Read in place: {file}" in said[1]
    file.write_text("KEY = None\n")
    texts, said = made(now, repository, tmp_path / "code")
    assert texts["client.py"] == "KEY = '***'\n" and "With *** for its secrets: client.py" in said[1]


def test_ignored_files_that_settings_name_are_read_in_place(repository, tmp_path):
    """Data too. A file that is neither was not there at the training, or is in its patch; a registry is copied."""
    root, code = repository.root, tmp_path / "code"
    (root / ".gitignore").write_text("data/\n*.db\n")
    for name in (
        "data/a.csv",
        "data/deep/b.csv",
        "store/registry.db",
        "store/new.py",
        "rows.csv",
        "toy/x.py",
        "model.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    code.mkdir()
    (code / "model.py").write_text("of the version")
    texts = [
        "data",
        "store",
        "rows.csv",
        "toy",
        "model.py",
        "",
        ".",
        "../outside",
        "s3://x",
        "a\0b",
        "x" * 5000,
    ]
    said = list(worktree.link_unstored(texts, "rows.csv", root, code))
    assert sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()) == [
        "data/a.csv", "data/deep/b.csv", "model.py", "rows.csv", "store/registry.db",
    ]  # fmt: skip
    assert (code / "data/a.csv").is_symlink() and not (code / "store/registry.db").is_symlink()
    assert said[0] == f"Read in place: {root}/data (2 files), which is not stored with the run"
    assert said[2] == f"Read in place: {root}/rows.csv, which is not stored with the run"
