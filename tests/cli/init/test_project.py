"""The files of a new project: those that exist are never changed, and after an error there are no new ones."""

import os
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops_lib.cli import app
from mlops_lib.cli.init import project
from mlops_lib.errors import ConfigError, MlopsError

CONFIG = "data: {source: a.csv, label: y}\nevaluation: {threshold: 0.5}\n"


def files(folder):
    """Every file below a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["notebooks/02_train.ipynb", "config.yaml", "notebooks"])
def test_a_file_of_the_users_is_never_changed(tmp_path, name):
    """An own notebook of the same name, a config.yaml, a file in the place of the folder: refused, and untouched."""
    own = tmp_path / "mine" / name
    own.parent.mkdir(parents=True)
    own.write_text("my work")
    with pytest.raises(ConfigError, match=own.name):
        project.check_folder(tmp_path / "mine")
    assert files(tmp_path) == {f"mine/{name}": b"my work"}


def test_other_files_stay_beside_the_new_ones(tmp_path):
    """A folder with code, and the platform's own notebooks of an earlier start."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/mine.ipynb").write_text("my work")
    same = project.NOTEBOOKS / "01_get_data.ipynb"
    (tmp_path / "notebooks/01_get_data.ipynb").write_bytes(same.read_bytes())
    project.check_folder(tmp_path)
    project.write(tmp_path, CONFIG)
    assert (tmp_path / "notebooks/mine.ipynb").read_text() == "my work"
    assert (tmp_path / "notebooks/04_register.ipynb").is_file()


def test_a_config_of_ones_own_gets_the_notebooks(tmp_path):
    """`mlops init .` beside a graph and its config.yaml; a folder that has notebooks is none that lacks them."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert not project.lacks_notebooks(tmp_path / "other") and project.lacks_notebooks(tmp_path)
    ran = CliRunner().invoke(app.app, ["init", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    assert {file.name for file in (tmp_path / "notebooks").iterdir()} >= {
        "01_get_data.ipynb",
        "04_register.ipynb",
    }
    assert (tmp_path / "config.yaml").read_text() == CONFIG
    assert not project.lacks_notebooks(tmp_path)


def test_after_an_error_only_the_new_files_are_gone(tmp_path):
    """A config.yaml that does not resolve, in a folder with files."""
    folder = tmp_path / "mine"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks/mine.ipynb").write_text("my work")
    with pytest.raises(MlopsError, match="lodaer"):
        project.write(folder, "data: {lodaer: local}\n")
    assert files(tmp_path) == {"mine/notebooks/mine.ipynb": b"my work"}
    with pytest.raises(MlopsError):
        project.write(tmp_path / "new", "data: {lodaer: local}\n")
    assert not (tmp_path / "new").exists()


def test_a_data_file_in_the_place_of_the_folder_is_explained(tmp_path):
    """`mlops init churn.csv` is a usual slip."""
    file = tmp_path / "churn.csv"
    file.write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"is a file, .* --source .*churn\.csv"):
        project.check_folder(file)


def test_a_folder_that_cannot_be_written_is_an_error():
    """Before the table is read. Root may write everywhere, so another user tries it in a child process."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        if (child := os.fork()) == 0:
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                project.check_folder(Path(folder) / "mine")
            except ConfigError as error:
                os._exit(0 if "cannot be written" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        Path(folder).chmod(0o700)


def test_a_folder_that_turns_out_unwritable_is_an_error(tmp_path, monkeypatch):
    """Also where permissions looked right: a full disk, a read-only mount."""

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(project, "_make_folder", refuse)
    with pytest.raises(ConfigError, match="Read-only file system"):
        project.write(tmp_path / "mine", CONFIG)


def test_an_interrupted_start_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C while the files are written; the same start then succeeds."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(project.config, "load_with_origins", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.write(tmp_path / "mine", CONFIG)
    assert not (tmp_path / "mine").exists()
    monkeypatch.undo()
    project.write(tmp_path / "mine", CONFIG)
    assert (tmp_path / "mine/config.yaml").is_file()


def test_a_variable_that_wins_over_the_new_file_is_named(tmp_path, monkeypatch):
    """The run would read another source than the one that was looked at."""
    monkeypatch.setenv("DATA_SOURCE_PATH", "other.csv")
    monkeypatch.setenv("MLFLOW_MODEL_STAGE", "Staging")
    assert project.write(tmp_path / "mine", CONFIG) == ["DATA_SOURCE_PATH"]
