"""One engine and one build of each image for all tests of containers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import base_image, engine, wheels
from tests.containers.engine import Docker

NOTEBOOK_IMAGE = "mlops-test-notebook:latest"
SERVE_IMAGE = "mlops-test-serve:latest"


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """An engine that has ``python:3.11-slim`` or a stand-in of it."""
    try:
        with engine.running() as docker:
            stand_in = base_image.provide(docker)
            yield docker
            if stand_in:
                docker("image", "rm", "--force", base_image.NAME, check=False)
    except engine.EngineError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def local_wheels() -> Iterator[list[str]]:
    """Build options for a machine that has its torch wheel in a folder."""
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
