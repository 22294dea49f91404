"""The digest of a model's files: the identity of a model, which its name and version number are not.

A number is given again when a model was deleted and its name is used anew;
files with the same digest are the same model.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlops_lib.errors import RegistryError
from mlops_lib.files import digest_of_folder
from mlops_lib.redact import mask

#: On a run and on a version: the digest of the model's files.
MODEL_DIGEST_TAG = "mlops.model_digest"
#: MLflow writes this file with name and version into a model that it downloads from the registry.
#: With a store on this machine it writes the file into the store itself.
DOWNLOAD_NOTE = "registered_model_meta"


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a model's files, as they were logged."""
    return digest_of_folder(folder, set(_files(folder)) - set(added_files(folder)))


def added_files(folder: Path) -> Iterator[Path]:
    """Files in a model's folder that MLflow's download and Python's import add:
    they are no part of the model."""
    for file in _files(folder):
        if file == folder / DOWNLOAD_NOTE or (file.suffix == ".pyc" and file.parent.name == "__pycache__"):
            yield file


def note_digest(run_id: str, folder: Path) -> None:
    """Write the digest of a model on the run that has just logged it."""
    import mlflow

    mlflow.MlflowClient().set_tag(run_id, MODEL_DIGEST_TAG, model_digest(folder))


def digest_of_logged(model_id: str) -> str:
    """The digest of a logged model, which is downloaded for it.

    Raises:
        RegistryError: Its files cannot be downloaded.
    """
    import mlflow

    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        try:
            return model_digest(
                Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=folder))
            )
        except Exception as error:  # object stores raise errors of their own
            raise RegistryError(
                f"The files of model {model_id} cannot be downloaded for their digest: {mask(str(error))}"
            ) from error


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
