"""A model with a whole past: a project in Git, `mlops run`, a promotion, and a prediction that a real service logged."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_lib import tracking
from mlops_lib.registry import Decision, Registry
from tests.support.projects import Project
from tests.support.shop import running

NAME = "repurchase"


@dataclass(frozen=True)
class Explained:
    """The project, and the id of its one predicted request. Copies share the artifacts: see `changed`."""

    project: Project
    request_id: str
    run_id: str
    parent_id: str

    def copy(self, target: Path) -> "Explained":
        """A copy with a registry, a prediction log, a repository and data of its own."""
        return Explained(self.project.copy(target), self.request_id, self.run_id, self.parent_id)

    def artifact(self, run_id: str, path: str) -> Path:
        """A stored artifact; `path` may be a pattern."""
        run = tracking.connect(self.project.settings()).get_run(run_id)
        (found,) = Path(run.info.artifact_uri.removeprefix("file://")).glob(path)
        return found

    def model_files(self) -> Path:
        """The folder of the stored model."""
        source = Registry(self.project.settings())._client.get_model_version_download_uri(NAME, "1")
        return Path(source.removeprefix("file://"))


def make(make_project: Callable[..., Project], blank_store: Path, folder: Path) -> None:
    """Fill `folder`: takes a minute."""
    model = {"wrapper": "sklearn", "implementation": "auto", "params": {}}
    project = make_project(folder / "project", model=model, serving={"prediction_log": "log", "retry_s": 0.2})
    (project.root / ".mlops").mkdir()
    shutil.copy(blank_store, project.root / ".mlops" / "mlflow.db")
    _commit(project.root)
    # An uncommitted change, and a file that Git does not know.
    (project.root / "examples" / "notes.md").write_text("a new idea\n")
    with (project.root / "config.yaml").open("a") as file:
        file.write("# changed since the commit\n")
    done = project.mlops("run", warm=True)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = project.settings()
    registry = Registry(settings)
    version = registry.promote(NAME, 1, "Production", Decision("forced", 0, reason="the first one"))
    with running(settings) as service:
        row = {"user_id": 7, **dict.fromkeys(_features(registry, version), 1)}
        status, answer = service.post("/predict", {"inputs": [row]}, **{"X-Request-Id": "asked-once"})
        assert status == 200, answer
        service.until(lambda: list((project.root / "log").glob("predictions-*.parquet")))
    parent = tracking.connect(settings).get_run(version.run_id).data.tags["mlflow.parentRunId"]
    (folder / "explained.json").write_text(json.dumps(["asked-once", version.run_id, parent]))


def opened(folder: Path) -> Explained:
    """What `make` left in a folder."""
    return Explained(Project(folder / "project"), *json.loads((folder / "explained.json").read_text()))


@contextlib.contextmanager
def changed(file: Path) -> Iterator[None]:
    """One byte of a file is another one in the block."""
    before = file.read_bytes()
    middle = len(before) // 2
    try:
        file.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        yield
    finally:
        file.write_bytes(before)


@contextlib.contextmanager
def removed(path: Path) -> Iterator[None]:
    """A file or folder is gone in the block."""
    aside = path.with_name(f"{path.name}-aside")
    path.rename(aside)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)


def _features(registry: Registry, version: Any) -> list[str]:
    import mlflow

    return mlflow.models.get_model_info(version.uri).signature.inputs.input_names()


def _commit(folder: Path) -> None:
    (folder / ".gitignore").write_text(".mlops\nlog\n*.parquet\n__pycache__\nservice.log\n")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "The model as it was"]):
        subprocess.run([*git, *command], cwd=folder, check=True, capture_output=True)
