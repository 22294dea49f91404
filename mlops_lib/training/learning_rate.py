"""Find a learning rate by Lightning's range test, on a copy of the network."""

import contextlib
import copy
import io
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import TrainingError
from mlops_lib.settings import Settings
from mlops_lib.tracking import log_figure
from mlops_lib.training import trainer as trainers

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule

NAMES = ("learning_rate", "lr")
#: The rates that are tried, one a step, each larger than the one before.
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
FIGURE = "training/learning_rate.png"
#: Arguments for a Trainer whose data module has validation batches. Lightning's search sets limit_val_batches itself.
WITHOUT_VALIDATION = {"check_val_every_n_epoch": sys.maxsize, "val_check_interval": 1.0}


def find(
    module: "LightningModule",
    train: Any,
    config: Settings,
    run_id: str,
    datamodule: "LightningDataModule | None" = None,
) -> Settings:
    """Set the network's learning rate to the one at which the loss falls fastest; print, log and draw it.

    Args:
        module: Has an attribute, and an argument, ``learning_rate`` or ``lr``. Its weights are not changed.
        train: Training batches.
        config: Resolved settings.
        run_id: Run for the parameter ``fit.learning_rate`` and the figure `FIGURE`.
        datamodule: Of the user's own, set up: it gives the batches and its hooks are called, except those that
            set it up and end it.

    Returns:
        The settings with the rate in ``model.params``, for workers that make the network again.

    Raises:
        TrainingError: The network has no such attribute, or no rate lowers the loss.
    """
    import mlflow
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.tuner import Tuner
    from lightning.pytorch.utilities.parsing import lightning_hasattr, lightning_setattr
    from lightning.pytorch.utilities.seed import isolate_rng

    name = next((name for name in NAMES if lightning_hasattr(module, name)), "")
    if not name:
        raise TrainingError(
            f"train.find_lr needs a network with an attribute {' or '.join(map(repr, NAMES))}, which its "
            f"configure_optimizers reads; {type(module).__name__} has none."
        )
    dataset = getattr(train, "dataset", None)
    epoch = getattr(dataset, "epoch", None)
    # Its bar would fill a notebook, and it has no use for validation batches.
    with isolate_rng(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = trainers.make(
            config,
            [],
            logger=False,
            enable_checkpointing=False,
            max_epochs=-1,
            max_steps=-1,
            **WITHOUT_VALIDATION,
        )
        tried = copy.deepcopy(module)
        rates = {"min_lr": LOWEST, "max_lr": HIGHEST, "num_training": STEPS}
        try:
            batches = {"datamodule": datamodule} if datamodule else {"train_dataloaders": train}
            with _kept_open(datamodule):
                found = Tuner(trainer).lr_find(tried, **batches, update_attr=False, **rates)
        except MisconfigurationException as error:  # several optimizers
            raise TrainingError(f"train.find_lr: {error}") from error
    if epoch is not None:
        dataset.epoch = epoch  # type: ignore[union-attr]
    rate = found.suggestion() if found else None
    if rate is None:
        raise TrainingError(
            "train.find_lr found no learning rate that lowers the loss. Set one in model.params."
        )
    lightning_setattr(module, name, rate)
    print(
        f"Learning rate {rate:.3g}: the loss fell fastest there, of {len(found.results['lr'])} tried.",
        flush=True,
    )
    mlflow.MlflowClient().log_param(run_id, "fit.learning_rate", rate)
    log_figure(run_id, _figure(found.results, rate), FIGURE)
    params = {**config.model.params, name: rate}
    return config.model_copy(update={"model": config.model.model_copy(update={"params": params})})


@contextlib.contextmanager
def _kept_open(datamodule: "LightningDataModule | None") -> Iterator[None]:
    """The training comes after, and sets the module up no more: it is not torn down within the block."""
    if datamodule:
        datamodule.teardown = lambda stage="": None  # type: ignore[method-assign]
    try:
        yield
    finally:
        if datamodule:
            del datamodule.teardown


def _figure(results: dict[str, list[float]], rate: float) -> Any:
    from mlops_lib.evaluation.figures.style import GREY, MODEL, chart

    with chart(
        "At which learning rate does the loss fall fastest?",
        f"At {rate:.3g}",
        "learning rate",
        "training loss",
    ) as (figure, axes):
        axes.semilogx(results["lr"], results["loss"], color=MODEL, linewidth=1.8, label="loss, smoothed")
        axes.axvline(rate, color=GREY, linestyle="--", linewidth=1.2, label="chosen")
    return figure
