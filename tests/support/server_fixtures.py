"""Fixtures: one MLflow server, one Redis and one PostgreSQL for all tests of a process."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import servers


@pytest.fixture(scope="session")
def tracking_server(blank_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server, which clients reach over HTTP alone."""
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(blank_store, folder / "mlflow.db")
    with servers.mlflow_server(f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts", proxy=True) as address:
        yield address


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    """Port of an empty Redis."""
    with servers.redis_server() as (port, _):
        yield port


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """Port of an empty PostgreSQL."""
    with servers.postgres_server() as port:
        yield port
