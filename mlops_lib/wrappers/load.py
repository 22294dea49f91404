"""Find, download and load a logged model with the wrapper that logged it."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib import plugins
from mlops_lib.errors import ModelError
from mlops_lib.redact import mask

if TYPE_CHECKING:
    from mlops_lib.wrappers.interface import ModelWrapper

#: Name of the model on its run, and the metadata key with the wrapper's name.
MODEL_PATH = "model"
WRAPPER_KEY = "mlops_wrapper"

#: What an address has for another character.
ENCODED = re.compile("%[0-9A-Fa-f]{2}")
#: MLflow flavour -> wrapper, for models without a wrapper's name; the first match wins.
FLAVOURS = {"python_function": "pyfunc"}


def uri_of_run(run_id: str) -> str:
    """Address of the model that training logged to a run."""
    return f"runs:/{run_id}/{MODEL_PATH}"


def load(model_uri: str, own_wrapper: str = "") -> "ModelWrapper":
    """Download a logged model and load it into the wrapper that logged it.

    Args:
        model_uri: ``models:/name/3``, ``runs:/<id>/model`` or a folder.
        own_wrapper: Dotted path of a user's own wrapper, which the model's metadata may name. A path that
            only the metadata names is not imported: a registry must not decide which code runs here.

    Raises:
        ModelError: The model does not exist, or no wrapper can load it.
    """
    folder = download(model_uri)
    name = wrapper_name(folder, model_uri)
    if name not in plugins.names("wrapper") and name != own_wrapper:
        raise ModelError(
            f"{model_uri} names wrapper {name!r}, which is neither built in ({', '.join(plugins.names('wrapper'))}) "
            "nor model.wrapper of config.yaml. If you trust it, set model.wrapper to it."
        )
    from mlops_lib.wrappers.preparing import with_prepare

    return with_prepare(plugins.load("wrapper", name)().load(str(folder)))


def download(model_uri: str, into: Path | None = None) -> Path:
    """The folder of a logged model on this machine.

    Args:
        model_uri: As for `load`.
        into: Folder in which a new folder "model" is made. None: a temporary folder of MLflow's, which stays.

    Raises:
        ModelError: The model does not exist.
    """
    # MLflow would show a progress bar for each of dozens of small files.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    if "://" not in model_uri and Path(model_uri).is_dir():
        return _readable(Path(model_uri))
    try:
        if into:
            (into / MODEL_PATH).mkdir()
        target = str(into / MODEL_PATH) if into else None
        folder = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=target))
    except Exception as error:  # MLflow does not wrap the errors of object stores
        raise ModelError(f"Cannot download model {model_uri}: {mask(str(error))}") from error
    if not (folder / "MLmodel").is_file():  # MLflow returns an empty folder if the files are gone
        raise ModelError(f"Cannot download model {model_uri}: its MLmodel file is no longer in the store.")
    return _readable(folder)


def _readable(folder: Path) -> Path:
    """The folder, or a copy of it that MLflow can read: MLflow decodes a path with %20 in
    it as if it were an address."""
    if not ENCODED.search(str(folder)):
        return folder
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    place = next((p for p in places if os.access(p, os.W_OK) and not ENCODED.search(p)), None)
    if place is None:
        raise ModelError(
            f"MLflow cannot read a model at {folder}. Set TMPDIR to a folder without % in its path."
        )
    return Path(
        shutil.copytree(folder, Path(tempfile.mkdtemp(prefix="mlops-model-", dir=place)) / MODEL_PATH)
    )


def wrapper_name(folder: Path, model_uri: str) -> str:
    """The wrapper in a downloaded model's metadata, else the wrapper for the model's flavour.

    Raises:
        ModelError: The folder holds no MLflow model, or no wrapper can load it.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        model = Model.load(str(folder))
    except (MlflowException, OSError) as error:
        raise ModelError(f"{model_uri} is no MLflow model: {error}") from error
    if name := (model.metadata or {}).get(WRAPPER_KEY):
        return str(name)
    for flavour, wrapper in FLAVOURS.items():
        if flavour in model.flavors:
            return wrapper
    raise ModelError(
        f"{model_uri} has only the flavours {', '.join(model.flavors)}, which no wrapper can load."
    )
