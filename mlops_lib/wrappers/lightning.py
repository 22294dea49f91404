"""PyTorch networks, trained by Lightning and logged as a traced graph.

The logged model is the graph that `torch.export` makes of the module's ``forward`` (MLflow's ``pt2`` format).
It loads without pickle, without Lightning, and without the module's class.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import TrainingError
from mlops_lib.imports import MLFLOW_PYTORCH_EXTRAS, without
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.training import launch, lightning_fit
from mlops_lib.training.implementation import build
from mlops_lib.wrappers import MODEL_PATH
from mlops_lib.wrappers.frozen import freeze
from mlops_lib.wrappers.inputs import to_matrix
from mlops_lib.wrappers.interface import ModelWrapper

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from lightning.pytorch import LightningModule

#: More than one, because torch.export fixes a dimension whose example has size 1.
EXAMPLE_ROWS = 5


class PytorchLightningWrapper(ModelWrapper):
    """A LightningModule named by ``model.implementation``, with early stopping on ``val_loss``.

    The module logs ``val_loss`` in its validation step. Its ``forward`` takes raw features, float32
    [rows, features], and returns predictions. Its constructor gets ``n_features`` and ``n_classes`` (0 for
    regression) if it has parameters of these names. ``fit_preprocessing(batches)``, if the module has it, is
    called with the training batches before the fit.
    """

    name = "lightning"
    takes_matrix = True

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        lightning_fit.begin(config.train.seed)
        train, validation = lightning_fit.batches(data_loader, config)
        features = data_loader.head("train", EXAMPLE_ROWS)[list(data_loader.schema.features)]
        n_classes = _count_classes(train) if config.evaluation.task == "classification" else 0
        facts = {"n_features": features.shape[1], "n_classes": n_classes}
        module = build(config, "network", **facts)
        # A module that cannot be logged must fail before the training, not after it.
        _export(module, features)
        if hasattr(module, "fit_preprocessing"):
            module.fit_preprocessing(train)
        if config.train.processes * config.train.nodes > 1:
            launch.fit(module, data_loader, config, run_id, facts)
        else:
            lightning_fit.fit(module, train, validation, config, run_id)
        return _log(module, features, config, run_id, self.metadata(config))

    def open(self, folder: Path) -> None:
        import torch

        self._features = self.feature_names
        example = np.linspace(-2, 2, EXAMPLE_ROWS * len(self._features), dtype=np.float32)
        module = _mlflow_pytorch().load_model(str(folder))
        self._module = freeze(module, torch.from_numpy(example.reshape(EXAMPLE_ROWS, -1)))
        self.straight_line = self._module is not module

    def predict(self, input_data: Any) -> np.ndarray:
        import torch

        is_matrix = isinstance(input_data, np.ndarray)
        x = torch.from_numpy(input_data if is_matrix else to_matrix(input_data, self._features))
        with torch.inference_mode():
            return self._module(x).numpy()


def _log(
    module: "LightningModule",
    features: "pd.DataFrame",
    config: Settings,
    run_id: str,
    metadata: dict[str, Any],
) -> str:
    import mlflow
    import torch
    from mlflow.models import ModelSignature, infer_signature, set_signature
    from mlflow.types import Schema, TensorSpec

    module = module.cpu().eval()
    example = to_matrix(features.head(EXAMPLE_ROWS), list(features))
    with torch.inference_mode():
        outputs = module(torch.from_numpy(example)).numpy()
    tensors = ModelSignature(
        Schema([TensorSpec(example.dtype, (-1, example.shape[1]))]),
        Schema([TensorSpec(outputs.dtype, (-1, *outputs.shape[1:]))]),
    )
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column")
        info = _mlflow_pytorch().log_model(
            module,
            name=MODEL_PATH,
            serialization_format="pt2",
            signature=tensors,
            input_example=example,
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"],
            metadata=metadata,
        )
        # MLflow traces only with a signature of tensors, but callers send rows of named columns.
        set_signature(info.model_uri, infer_signature(features, outputs))
    return info.model_uri


def _export(module: "LightningModule", features: "pd.DataFrame") -> None:
    import torch

    example = torch.from_numpy(to_matrix(features.head(EXAMPLE_ROWS), list(features)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.export(module.eval(), (example,), dynamic_shapes=[{0: torch.export.Dim.AUTO}])
    except Exception as error:  # torch.export raises whatever the traced code raises
        raise TrainingError(
            f"{type(module).__name__}.forward cannot be traced by torch.export, so the trained model could not be "
            f"logged: {error}\nMake forward(x) free of Python branches on tensor values; x is float32 "
            f"[rows, {features.shape[1]}]."
        ) from error
    finally:
        module.train()


def _count_classes(batches: "torch.utils.data.DataLoader") -> int:
    """Number of classes of the training labels, which must be 0, 1, ... n-1."""
    import torch

    found = torch.cat([y.unique() for _, y in batches]).unique()
    expected = torch.arange(max(len(found), 2), dtype=found.dtype)
    if len(found) != len(expected) or not torch.equal(found, expected):
        raise TrainingError(
            f"The labels of the train split are {found.tolist()[:10]}; a classifier needs 0, 1, ... n-1, "
            "and rows of each. Encode them in data.prepare, or set evaluation.task: regression."
        )
    return len(found)


def _mlflow_pytorch() -> Any:
    with without(MLFLOW_PYTORCH_EXTRAS):
        import mlflow.pytorch

    return mlflow.pytorch
