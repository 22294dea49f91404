"""One rank of a distributed training, started by whatever launcher: ``python -m mlops_lib.training.worker PLACE``.

PLACE is the folder that `mlops_lib.training.launch` left its plan in, or ``runs:/<id>/ranks`` where the ranks share
no disk. The environment is that of torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and
MASTER_PORT; a launcher of one process a node may leave the LOCAL ones out.
"""

import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mlops_lib import loaders
from mlops_lib.errors import MlopsError, TrainingError
from mlops_lib.redact import masked
from mlops_lib.settings import Settings
from mlops_lib.training import lightning_fit
from mlops_lib.wrappers.interface import build

PLAN, START, WEIGHTS, DATA = "plan.json", "start.pt", "weights.pt", "data"
#: Process whose end ends this one; and the file for the last words of a rank that fails.
PARENT_ENV, LAST_WORDS_ENV = "MLOPS_PARENT_PID", "MLOPS_LAST_WORDS"
#: Kubernetes reads a container's last words there.
TERMINATION_LOG = "/dev/termination-log"
MOST_WORDS = 2000


class Plan(BaseModel):
    """What a rank must know. Beside it lie the initial weights and, where ``data`` is empty, the data."""

    settings: str
    run_id: str
    data: str
    n_features: int
    n_classes: int

    def resolved(self) -> Settings:
        """The settings, with MLflow where this process is told it is: a plan holds no password."""
        settings = Settings.model_validate_json(self.settings)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.mlflow.tracking_uri
        mlflow = settings.mlflow.model_copy(update={"tracking_uri": uri})
        return settings.model_copy(update={"mlflow": mlflow})


def main(place: str) -> None:
    """Train as the rank that the environment says; rank 0 leaves the best weights in `place`."""
    if parent := os.environ.get(PARENT_ENV):
        threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    try:
        folder = _fetched(place) if place.startswith("runs:/") else Path(place)
        weights = train(folder)
        if weights and place.startswith("runs:/"):
            _keep(weights, place)
    except BaseException as error:
        _last_words(error)
        raise


def train(folder: Path) -> Path | None:
    """Train by the plan in `folder`; gives the file of the best weights in rank 0, None in the others.

    Raises:
        TrainingError: There is no launcher's environment, or the training failed.
    """
    import torch
    from lightning.pytorch.plugins.environments import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    rank, world, local_world = _launched()
    plan = Plan.model_validate_json((folder / PLAN).read_text())
    settings = plan.resolved()
    sys.path.append(str(settings.root))
    lightning_fit.begin(settings.train.seed)
    module = build(settings, "network", n_features=plan.n_features, n_classes=plan.n_classes)
    module.load_state_dict(torch.load(folder / START, weights_only=True, map_location="cpu"))
    # A mean over all ranks, whatever the module says: else each would stop and keep by its own share's loss.
    module.log = partial(_log_of_all, module.log)
    torch.manual_seed(settings.train.seed + rank)  # ranks that all drop the same units learn less
    train, validation = lightning_fit.batches(
        loaders.prepared(settings, plan.data or folder / DATA), settings, world
    )
    lightning_fit.fit(
        module,
        train,
        validation,
        settings,
        plan.run_id,
        strategy=DDPStrategy(cluster_environment=TorchElasticEnvironment()),
        devices=local_world,
        num_nodes=world // local_world,
        use_distributed_sampler=False,  # the loaders share the rows themselves
    )
    if rank:
        return None
    torch.save(module.state_dict(), folder / f".{WEIGHTS}")
    return (folder / f".{WEIGHTS}").rename(folder / WEIGHTS)


def _launched() -> tuple[int, int, int]:
    """Rank, world size, and how many of the ranks are on this node."""
    if missing := {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - set(os.environ):
        raise TrainingError(
            f"A launcher sets {', '.join(sorted(missing))}. Start ranks with: "
            "python -m torch.distributed.run --nproc-per-node 2 -m mlops_lib.training.worker PLACE"
        )
    os.environ.setdefault("LOCAL_RANK", "0")
    return (
        int(os.environ["RANK"]),
        int(os.environ["WORLD_SIZE"]),
        int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def _log_of_all(log: Any, *arguments: Any, **options: Any) -> None:
    # `log_dict` gives sync_dist=False by itself, so it says nothing of what a module wants.
    log(*arguments, **{**options, "sync_dist": not options.get("rank_zero_only", False)})


def _fetched(place: str) -> Path:
    import mlflow

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return Path(mlflow.artifacts.download_artifacts(place))


def _keep(weights: Path, place: str) -> None:
    import mlflow

    run_id, _, folder = place.removeprefix("runs:/").partition("/")
    mlflow.MlflowClient().log_artifact(run_id, str(weights), folder)


def _last_words(error: BaseException) -> None:
    """Say why this rank ends, to whoever started it: the traceback in its log is for later."""
    text = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
    file = Path(os.environ.get(LAST_WORDS_ENV, TERMINATION_LOG))
    if file.parent.is_dir() and (LAST_WORDS_ENV in os.environ or file.exists()):
        file.write_text(masked(text)[:MOST_WORDS], encoding="utf-8")


def _end_with(parent: int) -> None:
    """A kernel that is killed cannot stop its ranks, which would wait for each other for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
