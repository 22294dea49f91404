"""A network that takes the matrix of all features: exported, logged, and checked for pickles."""

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import TrainingError
from mlops_lib.imports import MLFLOW_PYTORCH_EXTRAS, without
from mlops_lib.wrappers import MODEL_PATH, table_package
from mlops_lib.wrappers.preparing import Preparation

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from mlflow.models import Model


def log(
    module: "torch.nn.Module",
    features: "pd.DataFrame",
    example: np.ndarray,
    run_id: str,
    metadata: dict[str, Any],
) -> str:
    """Log a network whose features are numbers as they are: MLflow's own flavour takes raw rows too."""
    import mlflow
    import torch
    from mlflow.models import Model, ModelSignature, infer_signature, set_signature
    from mlflow.types import Schema, TensorSpec

    with torch.inference_mode():
        outputs = module(torch.from_numpy(example)).numpy()
    tensors = ModelSignature(
        Schema([TensorSpec(example.dtype, (-1, example.shape[1]))]),
        Schema([TensorSpec(outputs.dtype, (-1, *outputs.shape[1:]))]),
    )
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column")
        info = Model.log(
            None,
            _OnCpu,
            name=MODEL_PATH,
            flavor_name="pytorch",
            pytorch_model=module,
            serialization_format="pt2",
            signature=tensors,
            input_example=example,
            pip_requirements=[f"mlflow=={mlflow.__version__}", _torch_version()],
            metadata=metadata,
        )
        # MLflow traces only with a signature of tensors, but callers send rows of named columns.
        set_signature(info.model_uri, infer_signature(features, outputs))
    return info.model_uri


class _OnCpu:
    """MLflow's flavour of PyTorch for an exported network, whose weights cannot leave the CPU.

    MLflow alone would load it on a machine's GPU, and fail.
    """

    @staticmethod
    def save_model(*, path: str, mlflow_model: "Model", **arguments: Any) -> None:
        """Save the model with the device in its file MLmodel."""
        mlflow_pytorch().save_model(path=path, mlflow_model=mlflow_model, **arguments)
        mlflow_model.flavors["python_function"]["config"] = {"device": "cpu"}
        mlflow_model.save(str(Path(path, "MLmodel")))


def log_encoded(
    module: "torch.nn.Module",
    encoder: Encoder,
    features: "pd.DataFrame",
    example: np.ndarray,
    run_id: str,
    metadata: dict[str, Any],
    preparation: Preparation | None,
) -> str:
    """Log a network with the encoder that makes its numbers."""
    import mlflow
    import torch

    with torch.inference_mode():
        outputs = module(torch.from_numpy(example)).numpy()
    with tempfile.TemporaryDirectory() as name, mlflow.start_run(run_id=run_id):
        folder = Path(name) / Path(table_package.FOLDER).name
        folder.mkdir()
        torch.export.save(_traced(module, example), folder / table_package.NETWORK)
        needed = [table_package.numpy_version(), _torch_version()]
        return table_package.log(
            folder, encoder, features, outputs, metadata, needed, preparation=preparation
        )


def _torch_version() -> str:
    import torch

    return f"torch=={torch.__version__.split('+')[0]}"


def _traced(module: "torch.nn.Module", example: np.ndarray) -> Any:
    import torch

    rows = [{0: torch.export.Dim.AUTO}]
    x = torch.from_numpy(example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (x,), dynamic_shapes=rows)
        try:
            with torch.inference_mode():
                program.module()(x[:2])
        except AssertionError:
            # A forward with len(x) was exported for this number of rows alone. A strict export is slower,
            # and follows len(x).
            program = torch.export.export(module.eval(), (x,), dynamic_shapes=rows, strict=True)
            with torch.inference_mode():
                program.module()(x[:2])
    return program


def require_exportable(module: "torch.nn.Module", example: np.ndarray) -> None:
    """Raise TrainingError for a network that `torch.export` cannot trace, before it is trained."""
    try:
        _traced(module, example)
    except Exception as error:  # torch.export raises whatever the traced code raises
        raise TrainingError(
            f"{type(module).__name__}.forward cannot be traced by torch.export, so the trained model could not be "
            f"logged: {error}\nMake forward(x) free of Python branches on tensor values; x is float32 "
            f"[rows, {example.shape[1]}]."
        ) from error


def is_pickle_free(archive: Path) -> bool:
    """Whether a file of `torch.export` has no pickle but of tensors, and no compiled library."""
    if not archive.is_file():
        return False
    try:
        mlflow_pytorch()._validate_pt2_archive_is_pickle_free(str(archive))
    except Exception:  # refused, or a release of MLflow without this check
        return False
    return True


def mlflow_pytorch() -> Any:
    """MLflow's flavour of PyTorch, without Lightning."""
    with without(MLFLOW_PYTORCH_EXTRAS):
        import mlflow.pytorch

    return mlflow.pytorch
