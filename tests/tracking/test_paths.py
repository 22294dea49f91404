"""Projects in folders with spaces, other alphabets and signs that addresses read in their own way."""

from pathlib import Path

import mlflow
import pytest

from mlops_lib import tracking
from mlops_lib.step_cache import mlflow_state

FOLDERS = [
    "My Project", "josé", "프로젝트", "50%", "100%25", "a%20b", "a%2Fb", "a#b", "a?b", "a&b=c", "it's", 'say "x"', "a+b",
    "[x]{y}", "a;b,c", "~a $HOME `b`", "a:b@c", "-dash", "日本語 ünï", "a\\b",
]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_project_in_any_folder_finds_its_store(make_project, blank_store, tmp_path, folder):
    """The store is inside the project; runs are found with and without MLflow; printed paths of artifacts open."""
    root = tmp_path / folder / "project"
    settings = make_project(root).settings()
    (root / ".mlops").mkdir()
    (root / ".mlops" / "mlflow.db").write_bytes(blank_store.read_bytes())
    client = tracking.connect(settings)
    run_id = tracking.open_parent(settings)
    where = Path(tracking.keep_text(settings, run_id, "some rows", "checks/rows.csv"))
    assert where.read_text() == "some rows" and where.is_relative_to(root / ".mlops" / "artifacts")
    found = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="checks/rows.csv")
    assert Path(found).read_text() == "some rows"
    tracking.end(client, run_id, None)
    assert mlflow_state.run_state(settings, run_id).finished
    files = (path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert {path.parts[:2] for path in files} == {(folder, "project")}


def test_the_address_of_a_store_survives_a_second_reading(make_project, tmp_path, monkeypatch):
    """The runner gives its steps the resolved address in MLFLOW_TRACKING_URI."""
    project = make_project(tmp_path / "100%25 a?b")
    uri = tracking.tracking_uri(project.settings())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.tracking_uri(project.settings()) == uri
    assert tracking.sqlite_file(uri) == project.root / ".mlops" / "mlflow.db"


def test_a_store_that_cannot_be_opened_is_an_error_at_once(make_project, tmp_path):
    """MLflow would try for two minutes and then show a traceback."""
    from mlops_lib.errors import MlopsError

    settings = make_project(tmp_path / "p", mlflow={"tracking_uri": "sqlite:///notes.txt"}).settings()
    (tmp_path / "p" / "notes.txt").write_text("not a database, but text of some length " * 100)
    with pytest.raises(MlopsError, match=r"notes\.txt is no SQLite database"):
        tracking.connect(settings)
    settings = make_project(tmp_path / "q", mlflow={"tracking_uri": "sqlite:///folder"}).settings()
    (tmp_path / "q" / "folder").mkdir()
    with pytest.raises(MlopsError, match=r"folder cannot be opened"):
        tracking.connect(settings)
