"""Model wrappers: train, evaluate, load and predict, the same for every kind of model.

`from_settings` makes the wrapper that config.yaml names; `load` finds the one that a logged model needs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib import plugins
from mlops_lib.errors import ModelError
from mlops_lib.redact import masked
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from mlops_lib.wrappers.interface import ModelWrapper

#: Where a run keeps its model, and the metadata key that says which wrapper logged it.
MODEL_PATH = "model"
WRAPPER_KEY = "mlops_wrapper"

#: MLflow flavour -> wrapper, for models that carry no wrapper name; the first match wins.
FLAVOURS = {"python_function": "pyfunc"}


def from_settings(settings: Settings) -> "ModelWrapper":
    """A new wrapper of the class that ``model.wrapper`` names."""
    return plugins.load("wrapper", settings.model.wrapper)()


def uri_of_run(run_id: str) -> str:
    """Address of the model that training logged to a run."""
    return f"runs:/{run_id}/{MODEL_PATH}"


def load(model_uri: str, own_wrapper: str = "") -> "ModelWrapper":
    """Download a logged model and load it into the wrapper that logged it.

    Args:
        model_uri: ``models:/name/3``, ``runs:/<id>/model`` or a folder.
        own_wrapper: Dotted path of a wrapper of the user's own that the model's metadata may name. What a
            registry says is not reason enough to import a class that nobody here asked for.

    Raises:
        ModelError: There is no such model, or nothing here can load it.
    """
    folder = download(model_uri)
    name = wrapper_name(folder, model_uri)
    if name not in plugins.names("wrapper") and name != own_wrapper:
        raise ModelError(
            f"{model_uri} names wrapper {name!r}, which is neither built in ({', '.join(plugins.names('wrapper'))}) "
            "nor model.wrapper of config.yaml. If you trust it, set model.wrapper to it."
        )
    return plugins.load("wrapper", name)().load(str(folder))


def download(model_uri: str, into: Path | None = None) -> Path:
    """The folder of a logged model on this machine.

    Args:
        model_uri: As for `load`.
        into: A new folder "model" is made there; None leaves the place to MLflow, which leaves it to nobody to
            take it out again.

    Raises:
        ModelError: There is no such model.
    """
    import os

    # Dozens of small files: a bar for each is noise in every log.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    if "://" not in model_uri and Path(model_uri).is_dir():
        return Path(model_uri)
    try:
        if into:
            (into / MODEL_PATH).mkdir()
        target = str(into / MODEL_PATH) if into else None
        folder = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=target))
    except Exception as error:  # MLflow lets the errors of object stores through as they are
        raise ModelError(f"Cannot download model {model_uri}: {masked(str(error))}") from error
    if not (folder / "MLmodel").is_file():  # MLflow gives an empty folder for files that are gone
        raise ModelError(f"Cannot download model {model_uri}: the store has no MLmodel file of it any more.")
    return folder


def wrapper_name(folder: Path, model_uri: str) -> str:
    """The wrapper that a downloaded model names in its metadata, else the one for its flavour.

    Raises:
        ModelError: The folder holds no MLflow model, or one that no wrapper can load.
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
        f"{model_uri} has only the flavours {', '.join(model.flavors)}, which nothing here can load."
    )
