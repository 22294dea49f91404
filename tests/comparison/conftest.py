"""The project whose versions are compared, made once."""

import shutil
from pathlib import Path

import pytest

from mlops_lib import config
from tests.support import compared
from tests.support.shared import made_once


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "compared", compared.make)


@pytest.fixture
def buyers(made: Path, tmp_path: Path):
    """Settings of a copy of the project, to change freely; artifacts stay shared."""
    folder = shutil.copytree(made, tmp_path / "buyers")
    return config.load(folder / "config.yaml")
