"""A small feature repository, and real servers, for every test of data."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_lib import config
from tests.data import servers
from tests.data.projects import ROOT, write_repo


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*config.ENVIRONMENT, config.CONFIG_ENV):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def filled_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`write_repo`, registered and materialised; tests copy it."""
    from mlops_lib.features.feast import FeastProvider

    folder = write_repo(tmp_path_factory.mktemp("feast") / "repo")
    provider = FeastProvider(folder)
    provider.apply()
    provider.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))
    return folder


@pytest.fixture
def project(filled_repo: Path, tmp_path: Path) -> Path:
    """A folder with a feature repository and labelled rows."""
    shutil.copytree(filled_repo, tmp_path / "repo")
    return tmp_path


@pytest.fixture(scope="session")
def example_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's feature repository, filled by the example's own job; a folder of its own."""
    from examples.repurchase.feature_job import write_features
    from mlops_lib import features

    folder = tmp_path_factory.mktemp("example") / "feature_repo"
    shutil.copytree(ROOT / "examples/repurchase/feature_repo", folder, ignore=shutil.ignore_patterns("data"))
    settings = config.load(ROOT / "config.yaml", {"data.feature_store.repo": str(folder)})
    write_features(settings)
    store = features.from_settings(settings)
    store.apply()
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))
    return folder


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    with servers.redis_server() as (port, _):
        yield port


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    with servers.postgres_server() as port:
        yield port


os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
