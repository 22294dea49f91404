"""Fixtures: small feature repositories, filled."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_lib import config
from tests.support.feature_projects import ROOT, write_repo


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
def feature_project(filled_repo: Path, tmp_path: Path) -> Path:
    """A folder with a feature repository and labelled rows."""
    shutil.copytree(filled_repo, tmp_path / "repo")
    return tmp_path


@pytest.fixture(scope="session")
def example_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's feature repository in a temporary folder, filled by the example's own job."""
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
