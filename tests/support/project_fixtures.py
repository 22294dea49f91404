"""Fixtures: projects in temporary folders, from an empty one to one that a whole pipeline ran in."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_lib import config
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from tests.support import blank, forks
from tests.support import explained as explained_project
from tests.support.projects import ROOT, PipelineRun, Project, Trained
from tests.support.shared import made_once


@pytest.fixture(scope="session")
def purchases_slice() -> pd.DataFrame:
    """Every tenth customer of the example's real purchases."""
    purchases = pd.read_parquet(ROOT / "examples/repurchase/data/purchases.parquet")
    return purchases[purchases["user_id"] % 10 == 0].reset_index(drop=True)


@pytest.fixture(scope="session")
def make_project(purchases_slice: pd.DataFrame) -> Callable[..., Project]:
    """Make a project in a folder, with sections of config.yaml to change."""

    def make(root: Path, **sections: dict[str, Any]) -> Project:
        root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_*"))
        ignored = shutil.ignore_patterns("data", "__pycache__")
        shutil.copytree(ROOT / "examples", root / "examples", ignore=ignored)
        shutil.copytree(ROOT / "tests/toys", root, dirs_exist_ok=True)
        shutil.copy(ROOT / "config.yaml", root)
        purchases_slice.to_parquet(root / "purchases.parquet", index=False)
        project = Project(root).configure(
            data={"source": "purchases.parquet"},
            train={"max_epochs": 3, "batch_size": 64},
            evaluation={"threshold": 0.6},
            serving={"retry_s": 0.2, "load_timeout_s": 600.0, "predict_timeout_s": 300.0},
        )
        return project.configure(**sections)

    return make


@pytest.fixture
def project(make_project: Callable[..., Project], tmp_path: Path) -> Project:
    """A project whose MLflow is not made yet."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def blank_store() -> Path:
    """An MLflow SQLite file with its tables made, to copy for a process that is not forked from one of the tests'."""
    return blank.blank(Path(os.environ[blank.FOLDER_ENV]))


@pytest.fixture
def stored(project: Project, blank_store: Path) -> Project:
    """A project with an empty MLflow of its own."""
    (project.root / ".mlops").mkdir()
    shutil.copy(blank_store, project.root / ".mlops" / "mlflow.db")
    return project


@pytest.fixture
def toy(stored: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """`stored`, for notebooks of one cell: its model needs no PyTorch, which each run would import ahead for seconds."""
    monkeypatch.setenv(config.CONFIG_ENV, str(stored.config_file))
    model = {"wrapper": "sklearn", "implementation": "auto", "params": {}}
    return stored.configure(model=model)


@pytest.fixture
def forked_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that the test runs in its own process, by `run_local` or `notebooks.run`, are forks: see `forks`."""
    for name, value in forks.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a training that the test starts are forks: see `tests.support.forked_workers`."""
    from mlops_lib.training import launch
    from tests.support.forked_workers import SUBPROCESS

    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)


@pytest.fixture(scope="session")
def trained_once(
    make_project: Callable[..., Project], blank_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """The default network, trained for three epochs on the slice."""
    from mlops_lib import loaders, registry, wrappers

    def make(folder: Path) -> None:
        project = make_project(folder)
        (project.root / ".mlops").mkdir()
        shutil.copy(blank_store, project.root / ".mlops" / "mlflow.db")
        settings = project.settings()
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        result = model.train(dataset, settings)
        model.evaluate(dataset, settings)
        version = registry.register_run(settings, result.run_id)
        (folder / "trained.json").write_text(json.dumps([result.run_id, version.version]))

    folder = made_once(tmp_path_factory, "trained", make)
    return Trained(Project(folder), *json.loads((folder / "trained.json").read_text()))


@pytest.fixture
def trained(trained_once: Trained) -> Trained:
    """The trained project, its MLflow in use. Only to read; `trained_copy` is free to change."""
    from mlops_lib import tracking

    tracking.use_store(trained_once.project.settings())
    return trained_once


@pytest.fixture
def trained_copy(trained_once: Trained, tmp_path: Path) -> Trained:
    """The trained project again, its MLflow in use, free to promote and change."""
    from mlops_lib import tracking

    project = trained_once.project.copy(tmp_path / "copy")
    tracking.use_store(project.settings())
    return Trained(project, trained_once.run_id, trained_once.version)


@pytest.fixture(scope="session")
def pipeline_run(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> PipelineRun:
    """`mlops run` as a user types it, on a project that has never run; the gate lets it pass. Only to read."""

    def make(folder: Path) -> None:
        result = make_project(folder / "project").mlops("run", **{FORK_SERVER_ENV: ""})
        (folder / "result.json").write_text(json.dumps([result.returncode, result.stdout, result.stderr]))

    folder = made_once(tmp_path_factory, "pipeline", make)
    result = json.loads((folder / "result.json").read_text())
    return PipelineRun(Project(folder / "project"), subprocess.CompletedProcess(["mlops", "run"], *result))


@pytest.fixture
def explained(
    make_project: Callable[..., Project],
    blank_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
) -> explained_project.Explained:
    """A copy of a project whose one prediction has a whole past; the artifacts are shared, see `explained.changed`."""
    folder = made_once(
        tmp_path_factory,
        "explained",
        lambda target: explained_project.make(make_project, blank_store, target),
    )
    return explained_project.opened(folder).copy(tmp_path / "copy")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout that git knows or would take in: nothing that a build left behind."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # no clone: an archive of it, say
        ignored = shutil.ignore_patterns(".venv", ".mlops", "mlruns", ".*_cache", "__pycache__", "build")
        return Path(shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True, dirs_exist_ok=True))
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder
