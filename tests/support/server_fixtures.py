"""Fixtures: one MLflow server, one Redis and one PostgreSQL for all tests of a process, and an S3 server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import servers

if TYPE_CHECKING:
    from tests.support.s3_server import S3


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


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[S3]":
    """An S3 server with one bucket, for the tests of one file: one of them kills it."""
    from tests.support.s3_server import S3

    server = S3(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def s3_keys(s3_server: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """The S3 server, with its keys in the environment."""
    import boto3

    from tests.support.s3_server import KEY, SECRET

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it reads the keys once in a process
    return s3_server
