"""The code of a run: commit and patch in a repository, an archive without one; secrets and large files stay out."""

import io
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from mlops_lib.files import sha256
from mlops_lib.lineage import archive, code_files, git

KEY = "sk-proj-" + "a1" * 20


class Repository:
    """A Git repository with one commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self("init", "-q", "-b", "main")
        self("config", "user.name", "t")
        self("config", "user.email", "t@example.com")
        (root / "model.py").write_text("WIDTH = 1\n")
        (root / "old.py").write_text("gone = True\n")
        (root / "logo.bin").write_bytes(bytes(range(256)))
        (root / ".gitignore").write_text("ignored/\n")
        self.commit()

    def __call__(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self) -> str:
        self("add", "-A")
        self("commit", "-qm", "next")
        return self("rev-parse", "HEAD").strip()

    def applied(self, code: git.Code, target: Path) -> Path:
        """A worktree at the commit, with the patch."""
        self("worktree", "add", "-q", "--detach", str(target), code.commit)
        if code.diff:
            command = ["git", "-C", str(target), "apply", "--binary", "--whitespace=nowarn", "-"]
            subprocess.run(command, input=code.diff, check=True)
        return target


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    return Repository(root)


def contents(root: Path) -> dict[str, bytes]:
    """Path -> bytes of the files that people see."""
    paths = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_a_clean_checkout_is_its_commit(repository):
    """No patch, and the folder of a project below the top."""
    head = repository("rev-parse", "HEAD").strip()
    assert git.code_of(repository.root) == git.Code(head, "")
    (repository.root / "team").mkdir()
    assert git.code_of(repository.root / "team").folder == "team/"


def test_the_patch_makes_the_same_files(repository, tmp_path):
    """Edits, staged or not; new, deleted and binary files; odd names; a link; an executable."""
    root = repository.root
    (root / "model.py").write_text("WIDTH = 2\n")
    repository("add", "model.py")
    (root / "model.py").write_text("WIDTH = 3\r\nwithout a line end")
    (root / "old.py").unlink()
    (root / "logo.bin").write_bytes(os.urandom(5000))
    (root / "new folder").mkdir()
    (root / "new folder/한글 \n'x'.py").write_bytes(b"\xff latin")
    (root / "empty.txt").touch()
    (root / "run.sh").write_text("exit\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("model.py")
    (root / "ignored").mkdir()
    (root / "ignored/data.csv").write_text("1")
    before = (
        repository("status", "--porcelain"),
        (root / ".git/index").read_bytes(),
        contents(root / ".git/objects"),
    )

    code = git.code_of(root)

    made = repository.applied(code, tmp_path / "made")
    expected = contents(root)
    expected.pop("ignored/data.csv")
    assert contents(made) == expected
    assert (made / "link").is_symlink() and os.access(made / "run.sh", os.X_OK)
    assert not code.left_out and not code.masked
    repository("worktree", "prune")
    after = (
        repository("status", "--porcelain"),
        (root / ".git/index").read_bytes(),
        contents(root / ".git/objects"),
    )
    assert after == before


def test_settings_of_the_user_do_not_change_the_patch(repository):
    """Colours, prefixes and external tools are for people."""
    (repository.root / "model.py").write_text("WIDTH = 2\n")
    plain = git.code_of(repository.root)
    for name, value in {
        "color.ui": "always", "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "diff.external": "false",
        "core.quotePath": "false", "diff.context": "0", "status.showUntrackedFiles": "no", "core.abbrev": "4",
    }.items():  # fmt: skip
        repository("config", name, value)
    assert git.code_of(repository.root) == plain


def test_a_repository_without_a_commit_has_a_patch(tmp_path):
    """The first training often comes before the first commit."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "model.py").write_text("x = 1\n")
    code = git.code_of(tmp_path)
    assert code.commit == "" and b"+x = 1" in code.diff


def test_large_files_and_data_are_left_out_by_name(repository, monkeypatch):
    """With digest, size and reason; the smaller files are stored."""
    monkeypatch.setattr(code_files, "MAX_FILE_BYTES", 2**20)
    root = repository.root
    (root / "big.bin").write_bytes(bytes(2**20 + 1))
    (root / "purchases.parquet").write_bytes(b"rows")
    (root / "model.py").write_text("WIDTH = 2\n")
    (root / "vendored").mkdir()
    subprocess.run(["git", "init", "-q", str(root / "vendored")], check=True)
    (root / "vendored/a.py").touch()

    code = git.code_of(root, [root / "purchases.parquet"])

    assert code.changed == ["model.py"]
    assert [(one.path, one.reason) for one in code.left_out] == [
        ("big.bin", "larger than 1 MiB"),
        ("purchases.parquet", "data, whose fingerprint is stored"),
        ("vendored/", "no file: a folder with a repository of its own, or a special file"),
    ]
    assert code.left_out[0].sha256 == sha256(root / "big.bin")


def test_files_together_have_a_limit(repository, monkeypatch):
    """The small ones are stored first: code is small."""
    monkeypatch.setattr(code_files, "MAX_TOTAL_BYTES", 1000)
    (repository.root / "a.txt").write_text("x" * 900)
    (repository.root / "z.py").write_text("z" * 200)
    code = git.code_of(repository.root)
    assert code.changed == ["z.py"] and code.left_out[0].path == "a.txt"


@pytest.mark.parametrize("name", [".env", ".env.local", "server.pem", "credentials.json", "id_rsa"])
def test_a_file_of_secrets_is_left_out_by_its_name(repository, name):
    """A password in it may look like any word."""
    (repository.root / name).write_text("PASSWORD=hunter2\n")
    (repository.root / ".env.example").write_text("PASSWORD=\n")
    code = git.code_of(repository.root)
    assert b"hunter2" not in code.diff and code.changed == [".env.example"]
    assert code.left_out[0].reason == "by its name it holds secrets"


def test_added_secrets_are_masked(repository, tmp_path, monkeypatch):
    """Known ones and keys of known shapes; the patch still applies, and the digest of the file itself is kept."""
    monkeypatch.setenv("DATABASE_PASSWORD", "correct horse battery")
    file = repository.root / "model.py"
    file.write_text(f"WIDTH = 2\nKEY = '{KEY}'\nPASSWORD = 'correct horse battery'\n")
    code = git.code_of(repository.root)
    assert code.masked == {"model.py": sha256(file)} and not code.left_out
    made = repository.applied(code, tmp_path / "made")
    assert (made / "model.py").read_text() == "WIDTH = 2\nKEY = '***'\nPASSWORD = '***'\n"


def test_a_secret_of_the_commit_does_not_come_into_the_patch(repository, monkeypatch):
    """Far from the change, it changes nothing; a removed one would be shown, so the file is left out."""
    file = repository.root / "model.py"
    file.write_text(f"KEY = '{KEY}'\n" + "x = 1\n" * 20)
    repository.commit()
    file.write_text(f"KEY = '{KEY}'\n" + "x = 1\n" * 19 + "x = 2\n")
    code = git.code_of(repository.root)
    assert code.changed == ["model.py"] and not code.masked and KEY.encode() not in code.diff
    file.write_text("KEY = read()\n")
    code = git.code_of(repository.root)
    assert not code.changed and code.diff == b""
    assert code.left_out[0].reason == "it holds a secret" and code.left_out[0].sha256 == sha256(file)


def test_a_secret_that_begins_a_line_or_spans_several_is_found(repository, monkeypatch):
    """The patch has a sign before each line."""
    monkeypatch.setenv("TEAM_TOKEN", "first half\nsecond half")
    file = repository.root / "key.txt"
    file.write_text(f"{KEY}\n")
    repository.commit()
    file.write_text("a\nfirst half\nsecond half\n")
    code = git.code_of(repository.root)
    assert KEY.encode() not in code.diff and b"second half" not in code.diff
    assert [one.path for one in code.left_out] == ["key.txt"]
    file.unlink()
    (repository.root / "new.txt").write_text("a\nfirst half\nsecond half\n")
    code = git.code_of(repository.root)
    assert list(code.masked) == ["new.txt"] and b"+***" in code.diff and b"second" not in code.diff


def test_the_file_behind_a_link_does_not_come_into_the_patch(repository, tmp_path):
    """Also when the link's own text has a secret, so that the link is left out."""
    (tmp_path / KEY).write_text("somebody's file\n")
    (repository.root / "link").symlink_to(tmp_path / KEY)
    code = git.code_of(repository.root)
    assert code.diff == b"" and [one.path for one in code.left_out] == ["link"]


def test_a_secret_in_a_binary_file_is_left_out(repository, monkeypatch):
    """In a patch it would be compressed, where nobody finds it."""
    monkeypatch.setenv("API_KEY", KEY)
    (repository.root / "state.bin").write_bytes(b"\0" + KEY.encode())
    code = git.code_of(repository.root)
    assert code.changed == [] and code.left_out[0].path == "state.bin"


@pytest.mark.parametrize("attribute", ["-diff", "binary"])
def test_a_secret_in_a_text_that_attributes_call_binary_is_left_out(repository, attribute):
    """Many mark their notebooks so. The patch is compressed, also from the text of the commit."""
    (repository.root / ".gitattributes").write_text(f"*.ipynb {attribute}\n")
    file = repository.root / "a.ipynb"
    file.write_text(f"{{'key': '{KEY}'}}\n")
    for step in ("new", "removed"):
        code = git.code_of(repository.root)
        assert "a.ipynb" not in code.changed and b"a.ipynb b/a.ipynb" not in code.diff, step
        assert [one.path for one in code.left_out] == ["a.ipynb"]
        repository.commit()
        file.write_text("{}\n")
    file.write_text("{'x': 1}\n")
    assert git.code_of(repository.root).changed == ["a.ipynb"]


def test_a_project_outside_git_is_archived(tmp_path, monkeypatch):
    """Code without virtual environments, data and hidden files; the same files give the same bytes."""
    monkeypatch.setenv("API_KEY", KEY)
    for name, text in {
        "config.yaml": "model: {}", "team/model.py": f"KEY = '{KEY}'", "notebooks/02_train.ipynb": "{}", "rows.csv": "1",
        ".venv/pyvenv.cfg": "", ".venv/lib.py": "", "env/pyvenv.cfg": "", "env/lib.py": "", ".mlops/log.txt": "",
        "team/__pycache__/x.py": "", "data/rows.json": "[]", ".env": f"API_KEY={KEY}",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(git.NoGit, match="not a git repository"):
        git.code_of(tmp_path)
    found = archive.archive_of(tmp_path, [tmp_path / "data"])
    assert found.paths == ["config.yaml", "notebooks/02_train.ipynb", "team/model.py"]
    assert found.masked == {"team/model.py": sha256(tmp_path / "team/model.py")} and found.is_project
    with zipfile.ZipFile(io.BytesIO(found.content)) as stored:
        assert stored.read("team/model.py") == b"KEY = '***'"
    os.utime(tmp_path / "config.yaml", (1, 1))
    assert archive.archive_of(tmp_path, [tmp_path / "data"]).content == found.content


def test_an_archive_has_no_files_from_elsewhere(tmp_path):
    """A link is stored if the file behind it is. Files of secrets and of other folders are not, under any name."""
    project = tmp_path / "project"
    project.mkdir()
    for path in (project / "model.py", project / ".env", tmp_path / "private.txt"):
        path.write_text("hunter2")
    for name, target in {"same.py": "model.py", "env.txt": ".env", "out.txt": "../private.txt"}.items():
        (project / name).symlink_to(target)
    found = archive.archive_of(project)
    assert found.paths == ["model.py", "same.py"]
    assert [(one.path, one.reason) for one in found.left_out] == [
        ("env.txt", "a link to a file that is not stored"),
        ("out.txt", "a link to a file that is not stored"),
    ]


def test_a_folder_that_is_no_project_is_not_archived(tmp_path, monkeypatch):
    """A training that is started in a home folder must not store the user's files."""
    monkeypatch.setattr(archive, "MAX_FILES", 2)
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("diary")
    assert archive.archive_of(tmp_path) == archive.Archive(b"", [], [], {}, is_project=False)


def test_a_folder_that_may_not_be_read_is_passed_by():
    """A volume of Kubernetes has one, lost+found, which belongs to root."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "model.py").touch()
        locked = project / "lost+found"
        locked.mkdir()
        project.chmod(0o755)
        locked.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # who may read everything
                os.seteuid(65534)
            assert archive.archive_of(project).paths == ["model.py"]
        finally:
            os.seteuid(user)
            locked.chmod(0o700)
