"""Reads from MLflow for a check: artifacts of a run, and the files of a model."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib.errors import MlopsError
from mlops_lib.files import sha256
from mlops_lib.lineage.why.link import Link, disagreeing
from mlops_lib.redact import mask
from mlops_lib.registry import Registry, model_digest
from mlops_lib.settings import Settings
from mlops_lib.tracking import sqlite_file, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


class Gone(Exception):
    """Something is not in the store, or cannot be read; the message says which."""


class Away(Exception):
    """MLflow does not answer; the message says which server and why."""


def opened(settings: Settings) -> tuple[Registry, "MlflowClient"]:
    """The registry and a client of the configured MLflow. An embedded store that does not exist is not made.

    Raises:
        Away: It does not answer.
    """
    import mlflow

    uri = tracking_uri(settings)
    if (file := sqlite_file(uri)) and not file.is_file():
        raise Away(f"There is no MLflow store at {file}.")
    try:
        registry = Registry(settings)
        client = mlflow.MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # also of the database driver, and of requests
        raise Away(f"MLflow at {mask(uri)} does not answer: {_line(error)}") from None
    return registry, client


def run_of(client: "MlflowClient", run_id: str) -> "Run | None":
    """A run; None when it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException:
        return None


def digest_of(model_uri: str) -> str:
    """The digest of a model's files, downloaded again.

    Raises:
        Gone: They cannot be downloaded.
    """
    from mlops_lib import wrappers

    with tempfile.TemporaryDirectory(prefix="mlops-why-") as folder:
        try:
            return model_digest(wrappers.download(model_uri, Path(folder)))
        except MlopsError as error:
            raise Gone(_line(error)) from None


def check(
    client: "MlflowClient", run_id: str, path: str, stated: Mapping[str, str], link: Link
) -> bytes | None:
    """Download an artifact, hash it, and lower the link's state if a digest is missing or another one.

    Args:
        stated: Who states the digest -> SHA-256; "" where it states none.

    Returns:
        The bytes; None when there are none.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-why-") as folder:
        try:
            file = Path(client.download_artifacts(run_id, path, folder))
            digest, content = sha256(file), file.read_bytes()
        except Exception as error:  # object stores raise classes of their own
            link.blame("missing", f"{path} cannot be read from run {run_id}: {_line(error)}")
            return None
    link.facts["sha256"] = digest
    for sentence in disagreeing(digest, stated).values():
        link.blame("altered", sentence)
    if not any(stated.values()):
        link.blame("missing", f"Nothing states a digest of {path}: not {', not '.join(stated)}.")
    return content


def _line(error: Exception) -> str:
    text = mask(str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:300]
