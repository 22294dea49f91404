"""The connection to MLflow: where runs, artifacts and registered models are stored."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.tracking.database import make_tables, sqlite_file, sqlite_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

# MLflow imports tqdm, which warns in every notebook that ipywidgets are missing.
warnings.filterwarnings("ignore", "IProgress not found")

# With MLflow's default of seven retries a user waits four minutes for a server that is down.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
# A bar for each small file would stand between the lines of a command.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

#: Variables of MLflow's and boto3's logins to a tracking server and S3. Steps in containers need them too.
STORE_ENV = (
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "MLFLOW_S3_ENDPOINT_URL",
)  # fmt: skip


def connect(settings: Settings) -> "MlflowClient":
    """Point MLflow at the configured server and experiment, and create the experiment if it does not exist.

    Raises:
        MlopsError: The tracking server does not answer, or the SQLite file cannot be created.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = use_store(settings)
    client = mlflow.MlflowClient()
    try:
        experiment = client.get_experiment_by_name(settings.mlflow.experiment)
        if experiment is None:
            with made_meanwhile():
                client.create_experiment(
                    settings.mlflow.experiment, artifact_location=_artifact_location(uri)
                )
        mlflow.set_experiment(settings.mlflow.experiment)
    except MlflowException as error:
        raise MlopsError(
            f"MLflow at {mask(uri)} cannot open experiment {settings.mlflow.experiment!r}: {mask(error.message)}. "
            "Is the server up, and MLFLOW_TRACKING_URI right?"
        ) from None
    return client


def use_store(settings: Settings) -> str:
    """Make MLflow use the configured server in this process, with its tables made,
    and return the server's URI."""
    uri = use_existing_store(settings)
    make_tables(uri)
    return uri


def use_existing_store(settings: Settings) -> str:
    """Make MLflow use the configured server in this process, and return the server's URI.

    The environment stays as it was: MLflow would export MLFLOW_TRACKING_URI, and the variable would then win
    over an edited config file in a kernel that is still running.
    """
    import mlflow

    # MLflow logs one line for each table of a new SQLite store.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    uri = tracking_uri(settings)
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return uri


def tracking_uri(settings: Settings) -> str:
    """The tracking URI; a relative SQLite path starts at the config file's folder."""
    uri = settings.mlflow.tracking_uri
    if file := sqlite_file(uri):
        file = settings.path(str(file))
        file.parent.mkdir(parents=True, exist_ok=True)
        query = uri.partition("?")[1:]
        return sqlite_uri(file) + "".join(query)
    return uri if "://" in uri else settings.path(uri).as_uri()


def experiment_id(client: "MlflowClient", settings: Settings) -> str:
    """Id of the configured experiment, which `connect` has created if need be.

    Raises:
        MlopsError: The experiment was deleted since.
    """
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    if experiment is None:
        raise MlopsError(
            f"MLflow's experiment {settings.mlflow.experiment!r} was deleted. Run again to create it."
        )
    return experiment.experiment_id


def check_artifacts(run: "Run") -> None:
    """Check that the object store of a run's artifacts can be reached, before training and not after it.

    Raises:
        MlopsError: The object store does not answer or refuses.
    """
    import mlflow

    uri = mask(run.info.artifact_uri or "")
    if not uri.startswith(("s3://", "mlflow-artifacts:")):
        return
    try:
        mlflow.MlflowClient().list_artifacts(run.info.run_id)
    except ModuleNotFoundError as error:
        raise MlopsError(
            f"Artifacts are stored at {uri}: {error}. Install the S3 client with: pip install 'mlops-lib[s3]'"
        ) from None
    except Exception as error:  # boto3's errors have no class that could be named without boto3
        whose = "the MLflow server's" if uri.startswith("mlflow-artifacts:") else "this process's"
        raise MlopsError(
            f"Artifacts are stored at {uri}, which cannot be used: {mask(str(error))[:500].rstrip('.')}. Check {whose} "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL, and that the bucket exists."
        ) from None


@contextmanager
def made_meanwhile() -> Iterator[None]:
    """Ignore MLflow's error that an experiment or model exists already: a concurrent run has created it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _artifact_location(uri: str) -> str | None:
    """The artifact folder beside a SQLite store; None lets a tracking server decide."""
    file = sqlite_file(uri)
    return (file.parent / "artifacts").as_uri() if file else None
