"""The lineage that a training stores with its run."""

import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.lineage import archive
from mlops_lib.lineage.lock import read_lock
from mlops_lib.tracking import connect

pytestmark = pytest.mark.slow


def train(project, **overrides):
    """Prepare and train; returns settings, run id, and the files of the lineage by name."""
    settings = project.settings(**overrides)
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings), limit=50)
    result = wrappers.from_settings(settings).train(loaders.prepared(settings), settings)
    folder = mlflow.artifacts.download_artifacts(f"runs:/{result.run_id}/lineage")
    return settings, result.run_id, {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_run_has_its_lineage(toy):
    """Every file has its digest in the manifest, and the manifest's is a tag of the run."""
    settings, run_id, files = train(toy, train__seed=7)
    manifest = json.loads(files["manifest.json"])
    run = connect(settings).get_run(run_id)
    assert run.data.tags["mlops.lineage_sha256"] == sha256(files["manifest.json"])
    assert manifest["archive_sha256"] == sha256(files["code.zip"]) and manifest["diff_sha256"] == ""
    assert manifest["lock_sha256"] == sha256(files["lock.txt"])
    assert manifest["config_sha256"] == sha256(files["config.yaml"])
    assert manifest["seed"] == 7 and manifest["schema"] == 1 and manifest["model"] == settings.model.name
    assert set(manifest["notebooks"]) == {
        "01_get_data.ipynb",
        "02_train.ipynb",
        "03_evaluate.ipynb",
        "04_register.ipynb",
    }
    data = manifest["data"]
    assert data["fingerprint"] == loaders.prepared(settings).fingerprint()
    assert data["limit"] == 50 and data["loader"] == settings.data.loader
    assert data["source"]["path"] == str(settings.path(settings.data.source))


def test_the_stored_configuration_can_be_loaded(toy, tmp_path):
    """All settings, defaults too, without secrets and root: the same digest."""
    settings, _, files = train(toy)
    (toy.root / "stored.yaml").write_bytes(files["config.yaml"])
    assert config.load(toy.root / "stored.yaml").digest() == settings.digest()
    assert "secrets" not in yaml.safe_load(files["config.yaml"])


def test_in_a_repository_the_run_has_commit_and_patch(toy):
    """The prepared data and the stores are no code."""
    for command in (["init", "-q"], ["add", "toy_models.py"]):
        subprocess.run(["git", "-C", str(toy.root), *command], check=True)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(toy.root), *who, "commit", "-qm", "first"], check=True)
    _, _, files = train(toy)
    manifest = json.loads(files["manifest.json"])
    assert len(manifest["commit"]) == 40 and manifest["diff_sha256"] == sha256(files["code.diff"])
    assert b"+++ b/config.yaml" in files["code.diff"] and b"b/.mlops" not in files["code.diff"]
    assert "code.zip" not in files and manifest["archive_sha256"] == ""


def test_a_container_names_its_image_and_commit(toy, monkeypatch):
    """It has no repository: the commit is the one that it was built from, and its code files are stored."""
    monkeypatch.setenv("GIT_COMMIT", "f" * 40)
    monkeypatch.setenv("MLOPS_IMAGE", "registry/team:3@sha256:" + "a" * 64)
    manifest = json.loads(train(toy)[2]["manifest.json"])
    assert manifest["commit"] == "f" * 40 and manifest["image"]["digest"] == "sha256:" + "a" * 64
    assert "GIT_COMMIT" in manifest["code"]["unknown"] and manifest["archive_sha256"]


def test_a_folder_that_is_no_project_is_said(toy, monkeypatch, capsys):
    """Nothing of it is stored, and the run goes on."""
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    _, _, files = train(toy)
    assert "code.zip" not in files and json.loads(files["manifest.json"])["archive_sha256"] == ""
    assert "has more than 1 files, of which none is stored" in capsys.readouterr().out


def test_no_secret_comes_into_an_artifact(toy, monkeypatch, capsys):
    """Not from the code, and not from the settings; the user reads which files were changed."""
    monkeypatch.setenv("TEAM_API_KEY", "abcdef-123456-ghijkl")
    toy.configure(mlflow={"experiment": "of abcdef-123456-ghijkl"})
    (toy.root / "client.py").write_text("KEY = 'abcdef-123456-ghijkl'\n")
    _, _, files = train(toy)
    assert not [name for name, content in files.items() if b"abcdef-123456-ghijkl" in content]
    assert "Stored with *** for its secrets: client.py." in capsys.readouterr().out


def test_the_lock_has_exact_versions():
    """As importlib.metadata reads them, and the address of an editable installation; in a process that imported nothing else."""
    code = """
import json
from importlib.metadata import distributions
from mlops_lib.lineage.lock import lock, normalised
names = sorted({normalised(one.metadata["Name"]) for one in distributions()})
import setuptools  # its private copies of packages come on the path
print(json.dumps([lock(), names]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, names = json.loads(answer.stdout)
    found = read_lock(text)
    assert found["mlflow"] == version("mlflow") and found["pydantic"] == version("pydantic")
    assert found["mlops-lib"].startswith("file://") or found["mlops-lib"] == version("mlops-lib")
    assert sorted(found) == names


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("torch==2.13.0+cpu", {"torch": "2.13.0+cpu"}),
        ("team-lib @ file:///srv/team  # version 0.1, editable", {"team-lib": "file:///srv/team"}),
        ("x @ git+https://example.com/x.git@abc", {"x": "git+https://example.com/x.git@abc"}),
        ("# Python 3.11.7 on Linux x86_64", {}),
    ],
)
def test_lines_of_a_lock_are_read(line, read):
    """Versions and addresses, without comments."""
    assert read_lock(line) == read
