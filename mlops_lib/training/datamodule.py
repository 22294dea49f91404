"""Training batches by a LightningDataModule of the user's own."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from mlops_lib import plugins
from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import MlopsError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings
from mlops_lib.training.served_inputs import difference, expected, form, listed

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


def make(
    config: Settings, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder, batch_size: int
) -> LightningDataModule:
    """The module that ``train.datamodule`` names.

    Its constructor gets ``params`` and, if it has parameters of these names, ``loader`` (the dataset),
    ``encoder``, ``batch_size`` (rows in a batch of one process) and ``seed``.

    Raises:
        TrainingError: It cannot be made, is no LightningDataModule, or lacks training or validation batches.
    """
    path, params = config.train.datamodule["class"], config.train.datamodule["params"]
    kind = plugins.load("datamodule", path)
    known = {"loader": data_loader, "encoder": encoder, "batch_size": batch_size, "seed": config.train.seed}
    try:
        accepted = inspect.signature(kind).parameters
        made = kind(**{name: one for name, one in known.items() if name in accepted} | params)
    except Exception as error:  # a user's code may raise anything
        raise _failed(path, "cannot be made", error) from error
    if not isinstance(made, LightningDataModule):
        raise TrainingError(
            f"train.datamodule {path!r} makes a {type(made).__name__}, no LightningDataModule."
        )
    for name in ("train_dataloader", "val_dataloader"):
        if not is_overridden(name, made):
            raise TrainingError(f"train.datamodule {path!r} defines no {name}, which training needs.")
    return made


def loaders(datamodule: LightningDataModule, config: Settings) -> "tuple[DataLoader, DataLoader]":
    """Set the module up and return its training and validation batches,
    the ones that Lightning then takes too.

    Raises:
        TrainingError: The module's code raises.
    """
    path = config.train.datamodule["class"]
    try:
        datamodule.prepare_data()
        datamodule.setup("fit")
        made = datamodule.train_dataloader(), datamodule.val_dataloader()
    except Exception as error:
        raise _failed(path, "fails", error) from error
    # Lightning would set it up a second time, which may read all the data again.
    for name, result in zip(("train_dataloader", "val_dataloader"), made, strict=True):
        setattr(datamodule, name, lambda result=result: result)
    for name in ("prepare_data", "setup"):
        setattr(datamodule, name, lambda stage="": None)
    return made


def require_fitting(batches: Any, config: Settings, encoder: Encoder | InputEncoder) -> None:
    """Check that the first training batch has the inputs of forward, as the service will make them.

    Raises:
        TrainingError: It has not: names the input.
    """
    path = config.train.datamodule["class"]
    with isolate_rng():
        try:
            batch = next(iter(batches))
        except StopIteration:
            raise TrainingError(f"train.datamodule {path!r} gives no training batch.") from None
        except Exception as error:
            raise _failed(path, "fails in its first batch", error) from error
    found = batch[0] if isinstance(batch, tuple | list) and len(batch) else batch
    wanted = expected(encoder)
    if isinstance(found, Tensor) and len(wanted) == 1:
        found = {next(iter(wanted)): found}
    if not isinstance(found, Mapping) or (found is batch and not set(wanted) <= set(found)):
        print(
            f"The batches of {path} are of their own form ({form(batch)}): they are not compared with the inputs that "
            f"forward gets in the service: {listed(wanted)}.",
            flush=True,
        )
        return
    if wrong := difference(found, wanted):
        raise TrainingError(
            f"train.datamodule {path!r} gives {wrong} in the service, which makes it of the loader's columns. Give batches "
            "(inputs, y) of the same inputs, or change model.inputs or model.collate."
        )


def _failed(path: str, what: str, error: Exception) -> MlopsError:
    return TrainingError(f"train.datamodule {path!r} {what}: {type(error).__name__}: {error}")
