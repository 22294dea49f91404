"""Projects in temporary folders, and the few expensive things that tests share."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from mlops_lib import config
from mlops_lib.settings import Settings

pytest_plugins = [
    "tests.support.feature_fixtures",
    "tests.support.llm_fixtures",
    "tests.support.server_fixtures",
]

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
#: Fixtures that take long: their tests stay on one worker (pytest-xdist, --dist loadgroup). The first match wins.
SHARED = ("docker", "tracking_server", "s3_server", "pipeline_run", "trained_once", "blank_store", "shop")
#: Names that the platform, MLflow or Kubeflow read; a test starts without any of them.
VARIABLES = (
    *config.ENVIRONMENT,
    config.CONFIG_ENV,
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "GIT_COMMIT",
    "ANTHROPIC_BASE_URL",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before pytest-xdist, which reads the groups in the same hook and otherwise finds none."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if group := next((name for name in SHARED if name in fixtures), None):
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def _quiet_subprocesses() -> None:
    """Steps and services import this checkout, and no progress bar of theirs fills the report."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Six more processes of each MLflow server, for jobs that nothing here starts.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    # Hundreds of processes import this checkout: compiled once, that is half a second less for each.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What an earlier test left in the environment must not reach the processes that shared fixtures start.

    Importing Feast tells Prometheus to share figures through a folder; MLflow notes its experiment and run.
    """
    for name in (
        "PROMETHEUS_MULTIPROC_DIR",
        "PROMETHEUS_MULTIPROCESS_DIR",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_RUN_ID",
    ):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine, or those that a test before it left in MLflow's environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Project:
    """A folder such as a user's clone: config.yaml, notebooks, the example's code, and a slice of its data."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "config.yaml"

    def settings(self, **overrides: Any) -> Settings:
        """Resolved settings; dotted keys with ``__`` for the dot."""
        return config.load(self.config_file, {k.replace("__", "."): v for k, v in overrides.items()})

    def configure(self, **sections: dict[str, Any]) -> "Project":
        """Merge sections into config.yaml."""
        content = yaml.safe_load(self.config_file.read_text())
        for name, section in sections.items():
            content[name] = {**content.get(name, {}), **section}
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))
        return self

    def mlops(
        self, *arguments: str, timeout_s: int = 900, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in the project's folder."""
        return subprocess.run(
            [str(BIN / "mlops"), *arguments],
            cwd=self.root, env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def copy(self, target: Path) -> "Project":
        """A copy to change freely; models stay where they are, since MLflow knows them by absolute paths."""
        shutil.copytree(self.root, target)
        return Project(target)


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
        shutil.copytree(Path(__file__).parent / "toys", root, dirs_exist_ok=True)
        shutil.copy(ROOT / "config.yaml", root)
        purchases_slice.to_parquet(root / "purchases.parquet", index=False)
        project = Project(root).configure(
            data={"source": "purchases.parquet"},
            train={"max_epochs": 3, "batch_size": 64},
            evaluation={"threshold": 0.6},
            serving={"retry_s": 0.2},
        )
        return project.configure(**sections)

    return make


@pytest.fixture
def project(make_project: Callable[..., Project], tmp_path: Path) -> Project:
    """A project whose MLflow is not made yet."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def blank_store(make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow SQLite file with its tables made, which takes seconds; copy it."""
    from mlops_lib import tracking

    project = make_project(tmp_path_factory.mktemp("blank") / "project", mlflow={"experiment": "Default"})
    tracking.connect(project.settings())
    return project.root / ".mlops" / "mlflow.db"


@pytest.fixture
def stored(project: Project, blank_store: Path) -> Project:
    """A project with an empty MLflow of its own."""
    (project.root / ".mlops").mkdir()
    shutil.copy(blank_store, project.root / ".mlops" / "mlflow.db")
    return project


@dataclass(frozen=True)
class Trained:
    """A project with one model: trained, evaluated, registered at Staging. Copy it before changing it."""

    project: Project
    run_id: str
    version: int


@pytest.fixture(scope="session")
def trained_once(
    make_project: Callable[..., Project], blank_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """The default network, trained for three epochs on the slice, in this process."""
    from mlops_lib import loaders, registry, wrappers

    project = make_project(tmp_path_factory.mktemp("trained") / "project")
    (project.root / ".mlops").mkdir()
    shutil.copy(blank_store, project.root / ".mlops" / "mlflow.db")
    settings = project.settings()
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    model.evaluate(dataset, settings)
    version = registry.register_run(settings, result.run_id)
    return Trained(project, result.run_id, version.version)


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


@dataclass(frozen=True)
class PipelineRun:
    """What one `mlops run` in a project left."""

    project: Project
    result: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def pipeline_run(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PipelineRun]:
    """`mlops run` as a user types it, on a project that has never run; the gate lets it pass."""
    project = make_project(tmp_path_factory.mktemp("pipeline") / "project")
    yield PipelineRun(project, project.mlops("run"))
