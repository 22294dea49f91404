"""One worker of a distributed training, started by any launcher:
``python -m mlops_lib.training.worker PLACE``.

PLACE is the folder with the plan of `mlops_lib.training.launch`, or ``runs:/<id>/workers`` if the workers
share no disk. The environment is that of torchrun: RANK (the worker's number), WORLD_SIZE, LOCAL_RANK,
LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. A launcher with one process on each node may leave the LOCAL
ones out.
"""

import json
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mlops_lib import loaders
from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import MlopsError, TrainingError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.training import lightning_fit
from mlops_lib.training.implementation import build

PLAN, ENCODER, START, WEIGHTS, DATA = "plan.json", "encoder.json", "start.pt", "weights.pt", "data"
#: The worker ends when this process ends.
PARENT_ENV = "MLOPS_PARENT_PID"
#: File for the error of a failed worker; without it, the file of Kubernetes' termination message.
ERROR_FILE_ENV = "MLOPS_WORKER_ERROR_FILE"
TERMINATION_LOG = "/dev/termination-log"
MAX_ERROR_CHARS = 2000


class Plan(BaseModel):
    """The input of a worker. The initial weights lie beside it and, if ``data`` is empty, the rows.

    ``checkpoints`` is the folder to continue an interrupted training from; empty: the workers share none.
    """

    settings: str
    run_id: str
    data: str
    checkpoints: str
    n_features: int
    n_classes: int
    n_labels: int
    codes: tuple[int, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What the network's constructor may ask for."""
        return self.model_dump(include={"n_features", "n_classes", "n_labels", "codes"})

    def resolved(self) -> Settings:
        """The settings, with MLflow's address from the environment: a plan holds no password."""
        settings = Settings.model_validate_json(self.settings)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.mlflow.tracking_uri
        mlflow = settings.mlflow.model_copy(update={"tracking_uri": uri})
        return settings.model_copy(update={"mlflow": mlflow})


def main(place: str) -> None:
    """Train as the worker that RANK numbers. Worker 0 saves the best weights in `place`."""
    if parent := os.environ.get(PARENT_ENV):
        threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    try:
        folder = _download(place) if place.startswith("runs:/") else Path(place)
        weights = train(folder)
        if weights and place.startswith("runs:/"):
            _upload(weights, place)
    except BaseException as error:
        _write_error(error)
        raise


def train(folder: Path) -> Path | None:
    """Train by the plan in `folder`; return the file of the best weights in worker 0, None in the others.

    Raises:
        TrainingError: The launcher's variables are missing, or the training failed.
    """
    import torch
    from lightning.pytorch.plugins.environments import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    from mlops_lib.training import datamodule
    from mlops_lib.training.losses import describe

    number, world, local_world = _from_launcher()
    plan = Plan.model_validate_json((folder / PLAN).read_text())
    settings = plan.resolved()
    sys.path.append(str(settings.root))
    lightning_fit.begin(settings.train.seed)
    facts = plan.facts
    found = json.loads((folder / ENCODER).read_text(encoding="utf-8"))
    encoder = InputEncoder.from_dict(found, settings.root) if "inputs" in found else Encoder.from_dict(found)
    if isinstance(encoder, InputEncoder):
        facts["inputs"] = encoder.inputs.by_name
    module = build(settings, "network", **facts)
    module.load_state_dict(torch.load(folder / START, weights_only=True, map_location="cpu"))
    # A logged value is a mean over all workers. Else each would choose the best epoch by its own rows.
    module.log = partial(_log_mean, module.log)
    data_loader = loaders.prepared(settings, plan.data or folder / DATA)
    train = validation = own = None
    if settings.train.datamodule:
        own = datamodule.make(settings, data_loader, encoder, lightning_fit.rows_of_a_batch(settings, world))
    else:
        train, validation = lightning_fit.batches(data_loader, settings, encoder, world)
    lightning_fit.fit(
        module,
        train,
        validation,
        settings,
        plan.run_id,
        lambda batch, split: describe(batch, split, data_loader, encoder),
        Path(plan.checkpoints) if plan.checkpoints else None,
        own,
        strategy=DDPStrategy(cluster_environment=TorchElasticEnvironment()),
        devices=local_world,
        num_nodes=world // local_world,
        use_distributed_sampler=bool(own),  # the platform's loaders share the rows themselves
    )
    if number:
        return None
    torch.save(module.state_dict(), folder / f".{WEIGHTS}")
    return (folder / f".{WEIGHTS}").rename(folder / WEIGHTS)


def _from_launcher() -> tuple[int, int, int]:
    """Number of this worker, number of all workers, and number of workers on this node."""
    if missing := {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - set(os.environ):
        raise TrainingError(
            f"The launcher must set {', '.join(sorted(missing))}. Start workers with: "
            "python -m torch.distributed.run --nproc-per-node 2 -m mlops_lib.training.worker PLACE"
        )
    os.environ.setdefault("LOCAL_RANK", "0")
    return (
        int(os.environ["RANK"]),
        int(os.environ["WORLD_SIZE"]),
        int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def _log_mean(log: Any, *arguments: Any, **options: Any) -> None:
    # `log_dict` passes sync_dist=False itself, so that is not a wish of the module.
    log(*arguments, **{**options, "sync_dist": not options.get("rank_zero_only", False)})


def _download(place: str) -> Path:
    import mlflow

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return Path(mlflow.artifacts.download_artifacts(place))


def _upload(weights: Path, place: str) -> None:
    import mlflow

    run_id, _, folder = place.removeprefix("runs:/").partition("/")
    mlflow.MlflowClient().log_artifact(run_id, str(weights), folder)


def _write_error(error: BaseException) -> None:
    """Write one line about the error for the process that started this worker;
    the traceback is in the log."""
    text = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
    file = Path(os.environ.get(ERROR_FILE_ENV, TERMINATION_LOG))
    if file.parent.is_dir() and (ERROR_FILE_ENV in os.environ or file.exists()):
        file.write_text(mask(text)[:MAX_ERROR_CHARS], encoding="utf-8")


def _end_with(parent: int) -> None:
    """End this process with its parent. A killed kernel cannot stop its workers,
    which would wait for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
