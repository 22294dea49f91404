"""PyTorch networks, trained by Lightning and logged as a traced graph.

What is logged is the graph that `torch.export` makes of the module's ``forward`` (MLflow's ``pt2`` format):
it loads without unpickling anything, and without Lightning or the module's class at hand.
"""

import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import TrainingError
from mlops_lib.imports import MLFLOW_PYTORCH_EXTRAS, without
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.wrappers import MODEL_PATH
from mlops_lib.wrappers.base import ModelWrapper, build
from mlops_lib.wrappers.frozen import freeze
from mlops_lib.wrappers.inputs import to_matrix

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from lightning.pytorch import LightningModule, Trainer

# OpenMP's threads spin while they wait, which on a busy machine costs a small network most of its time
# (measured: 7 times on two cores). Read when torch is imported, which happens below and not before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# torch.export fixes the size of a dimension whose example has size 1, so the example has more rows.
EXAMPLE_ROWS = 5


class PytorchLightningWrapper(ModelWrapper):
    """A LightningModule named by ``model.implementation``, with early stopping on ``val_loss``.

    The module logs ``val_loss`` in its validation step; its ``forward`` takes raw features, float32
    [rows, features], and gives predictions. Where its constructor has them, it is handed ``n_features``
    and ``n_classes`` (0 for regression); where it has ``fit_preprocessing(batches)``, that is called with
    the training batches before the fit.
    """

    name = "lightning"
    takes_matrix = True

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        import lightning.pytorch as pl

        _quiet()
        pl.seed_everything(config.train.seed, workers=True, verbose=False)
        size, seed = config.train.batch_size, config.train.seed
        train = data_loader.torch("train", size, shuffle=True, seed=seed)
        validation = data_loader.torch("validation", size)
        features = data_loader.head("train", EXAMPLE_ROWS)[list(data_loader.schema.features)]
        n_classes = _count_classes(train) if config.evaluation.task == "classification" else 0
        module = build(config, "network", n_features=features.shape[1], n_classes=n_classes)
        # Before an hour of training, not after it: can this module be logged at all?
        _export(module, features)
        if hasattr(module, "fit_preprocessing"):
            module.fit_preprocessing(train)
        with tempfile.TemporaryDirectory() as folder:
            trainer = _trainer(config, run_id, folder)
            trainer.fit(module, train, validation)
            _restore_best(module, trainer)
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


def _trainer(config: Settings, run_id: str, folder: str) -> "Trainer":
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(
        experiment_name=config.mlflow.experiment,
        tracking_uri=tracking_uri(config),
        run_id=run_id,
        log_model=True,
    )
    best = ModelCheckpoint(folder, "checkpoint-{epoch}", monitor="val_loss", mode="min", save_top_k=1)
    return pl.Trainer(
        max_epochs=config.train.max_epochs,
        accelerator=config.train.accelerator,
        logger=logger,
        callbacks=[EarlyStopping("val_loss", patience=config.train.patience), best, _lines()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _lines() -> Any:
    """One short line an epoch: it reads well in a terminal, a log and a stored notebook alike."""
    from lightning.pytorch.callbacks import LambdaCallback

    def report(trainer: "Trainer", module: "LightningModule") -> None:
        if "val_loss" not in trainer.callback_metrics:
            raise TrainingError(
                f"{type(module).__name__} does not log 'val_loss', which early stopping and the choice of the best "
                "epoch go by. Call self.log('val_loss', ...) in validation_step."
            )
        values = "  ".join(f"{name} {float(value):.4f}" for name, value in trainer.callback_metrics.items())
        print(f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  {values}", flush=True)

    return LambdaCallback(on_train_epoch_end=report)


def _restore_best(module: "LightningModule", trainer: "Trainer") -> None:
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)  # _trainer has put it there
    # Lightning keeps the first checkpoint whatever its loss is, and calls NaN infinity.
    if best.best_model_score is None or not torch.isfinite(best.best_model_score):
        raise TrainingError(
            "No checkpoint was kept: the validation loss was never finite. Lower the learning rate, or look for "
            "values that are not finite in the data."
        )
    kept = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
    module.load_state_dict(kept["state_dict"])


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
        # MLflow traces with a signature of tensors only; what callers send are rows of named columns.
        set_signature(info.model_uri, infer_signature(features, outputs))
    return info.model_uri


def _export(module: "LightningModule", features: "pd.DataFrame") -> None:
    import torch

    example = torch.from_numpy(to_matrix(features.head(EXAMPLE_ROWS), list(features)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.export(module.eval(), (example,), dynamic_shapes=[{0: torch.export.Dim.AUTO}])
    except Exception as error:  # torch.export raises what the traced code raises, any class at all
        raise TrainingError(
            f"{type(module).__name__}.forward cannot be traced by torch.export, so the trained model could not be "
            f"logged: {error}\nMake forward(x) free of Python branches on tensor values; x is float32 "
            f"[rows, {features.shape[1]}]."
        ) from error
    finally:
        module.train()


def _count_classes(batches: "torch.utils.data.DataLoader") -> int:
    """Classes of the training labels, which must be 0, 1, ... n-1."""
    import torch

    found = torch.cat([y.unique() for _, y in batches]).unique()
    expected = torch.arange(max(len(found), 2), dtype=found.dtype)
    if len(found) != len(expected) or not torch.equal(found, expected):
        raise TrainingError(
            f"The labels of the train split are {found.tolist()[:10]}; a classifier needs 0, 1, ... n-1 with "
            "each of them there. Encode them in data.prepare, or set evaluation.task: regression."
        )
    return len(found)


def _mlflow_pytorch() -> Any:
    with without(MLFLOW_PYTORCH_EXTRAS):
        import mlflow.pytorch

    return mlflow.pytorch


def _quiet() -> None:
    """Lightning's notices about devices and worker counts say nothing to the reader of a notebook."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*Your `IterableDataset` has `__len__` defined.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
    ):
        warnings.filterwarnings("ignore", message)
