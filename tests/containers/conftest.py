"""One engine and one build of each image for all tests of containers."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers import base_image, engine, wheels
from tests.containers.engine import Docker

NOTEBOOK_IMAGE = "mlops-test-notebook:latest"
SERVE_IMAGE = "mlops-test-serve:latest"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """An engine that has ``python:3.11-slim``, a stand-in of it where no registry answers."""
    try:
        with engine.running() as docker:
            stand_in = base_image.provide(docker)
            yield docker
            if stand_in:
                docker("image", "rm", "--force", base_image.NAME, check=False)
    except engine.EngineError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout that git knows or would take in: nothing that a build left behind."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # no clone: an archive of it, say
        ignored = shutil.ignore_patterns(".venv", ".mlops", "mlruns", ".*_cache", "__pycache__")
        return Path(shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True))
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def local_wheels() -> Iterator[list[str]]:
    """Options for a build on a machine that keeps its torch in a folder."""
    with wheels.index() as options:
        yield options


@pytest.fixture(scope="session")
def notebook_image(docker: Docker, checkout: Path, local_wheels: list[str]) -> Iterator[str]:
    """The image of the steps and of JupyterLab."""
    docker.build(checkout, "Dockerfile.notebook", NOTEBOOK_IMAGE, *local_wheels)
    yield NOTEBOOK_IMAGE
    docker("image", "rm", "--force", NOTEBOOK_IMAGE, check=False)


@pytest.fixture(scope="session")
def serve_image(docker: Docker, checkout: Path, local_wheels: list[str]) -> Iterator[str]:
    """The image of the service."""
    docker.build(checkout, "Dockerfile.serve", SERVE_IMAGE, *local_wheels)
    yield SERVE_IMAGE
    docker("image", "rm", "--force", SERVE_IMAGE, check=False)
