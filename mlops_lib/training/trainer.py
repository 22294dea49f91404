"""Lightning's Trainer as the platform and ``train.trainer`` set it."""

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import TrainingError
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer


def make(config: Settings, callbacks: "Sequence[Callback]", **more: Any) -> "Trainer":
    """A Trainer with the platform's arguments, those of ``train.trainer``, and `more`, which wins.

    Raises:
        TrainingError: Lightning refuses the arguments, for example a precision that
            the machine does not have.
    """
    import lightning.pytorch as pl
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    quiet()
    arguments = {
        "max_epochs": config.train.max_epochs or None,
        "accelerator": config.train.accelerator,
        "devices": 1,  # train.processes decides the number, not the machine
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **config.train.trainer,
        **more,
    }
    try:
        return pl.Trainer(callbacks=list(callbacks), **arguments)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        given = {"accelerator": config.train.accelerator, **config.train.trainer}
        raise TrainingError(f"Lightning's Trainer refuses train.trainer {given}: {error}") from error


def own_callbacks(config: Settings) -> "list[Callback]":
    """The callbacks of ``train.callbacks``.

    Raises:
        TrainingError: One cannot be imported or made, is no callback of Lightning, or loses its weights; names it.
    """
    from lightning.pytorch import Callback
    from lightning.pytorch.callbacks import StochasticWeightAveraging

    made = []
    for given in config.train.callbacks:
        path, params = given["class"], given["params"]
        try:
            one = plugins.load("callback", path)(**params)
        except (TypeError, ValueError) as error:
            raise TrainingError(
                f"Cannot make the callback {path!r} of train.callbacks with params {params}: {error}."
            ) from error
        if not isinstance(one, Callback):
            raise TrainingError(
                f"train.callbacks names {path!r}, which makes a {type(one).__name__} and no lightning.pytorch.Callback."
            )
        if isinstance(one, StochasticWeightAveraging):
            raise TrainingError(
                f"train.callbacks names {path!r}, whose averaged weights replace the last ones after the last validation, or never if the "
                "training stops early. The weights of the best epoch are kept, so they would be lost. Use "
                "lightning.pytorch.callbacks:EMAWeightAveraging or WeightAveraging, which validate the averaged weights."
            )
        made.append(one)
    return made


def check(config: Settings) -> None:
    """Make Trainer and callbacks once, before the data is read, so that wrong ones cost no time.

    Raises:
        TrainingError: See `make` and `own_callbacks`; or there are fewer GPUs than processes.
    """
    _require_gpus(config)
    make(config, own_callbacks(config), logger=False)


def _require_gpus(config: Settings) -> None:
    """Check that each process of a training on this machine's GPUs has one of its own.

    Raises:
        TrainingError: There are fewer GPUs than processes.
    """
    import torch

    wanted = config.train.processes
    if config.train.nodes > 1 or config.train.accelerator not in ("auto", "gpu", "cuda"):
        return
    if 0 < (found := torch.cuda.device_count()) < wanted:
        raise TrainingError(
            f"train.processes is {wanted}, and this machine has {found} GPU{'s' * (found > 1)}: each process needs one of "
            f"its own. Set train.processes: {found}, or train.accelerator: cpu."
        )


def quiet() -> None:
    """Silence notices of Lightning that do not help the reader of a notebook."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*Your `IterableDataset` has `__len__` defined.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
    ):
        warnings.filterwarnings("ignore", message)
