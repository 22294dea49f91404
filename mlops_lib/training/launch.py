"""Train one network in several worker processes (Lightning's DDP), here or on the nodes of a TrainJob.

A notebook's kernel cannot be a worker itself: it has threads, which a fork does not survive, and no script
that a launcher could start again. So it writes a plan to a folder, starts the workers
(`mlops_lib.training.worker`), and loads the weights that worker 0 saves.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import COLUMNS_FILE, BaseDataLoader
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.redact import mask, without_password
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import lightning_fit, trainjob, worker

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

#: One failed worker makes the others fail. Wait this long for all their errors, to find the first.
GRACE_S = 2.0
TERMINATE_TIMEOUT_S, POLL_S = 5.0, 0.1
LAST_LINES = 10


def fit(
    module: "LightningModule",
    data_loader: BaseDataLoader,
    config: Settings,
    run_id: str,
    facts: Mapping[str, Any],
    encoder: Encoder | InputEncoder,
    checkpoints: Path,
) -> None:
    """Fit the module in ``train.processes`` workers on each node, and load the weights of its best epoch.

    Args:
        module: The network, with its preprocessing fitted.
        data_loader: The rows. They are written to files unless the workers can read files that exist.
        config: Resolved settings.
        run_id: MLflow run that worker 0 logs to.
        facts: ``n_features``, ``n_classes``, ``n_labels`` and ``codes``.
        encoder: Turns raw rows into numbers.
        checkpoints: Folder to continue an interrupted training from.

    Raises:
        TrainingError: A worker failed or was killed. All others are stopped then.
    """
    import torch

    world = config.train.processes * config.train.nodes
    for split in ("train", "validation"):
        if (rows := data_loader.count(split)) < world:
            raise TrainingError(
                f"Split {split!r} has {rows} rows, which {world} processes cannot share. "
                "Lower train.processes or train.nodes."
            )
    _require_two_rows(module, data_loader.count("train"), config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = without_password(tracking_uri(config))
        shown = config.model_copy(
            update={"mlflow": config.mlflow.model_copy(update={"tracking_uri": uri})}
        ).model_dump_json(exclude={"secrets"})
        data = _data_folder(data_loader, config, folder / worker.DATA)
        kept = str(checkpoints) if _is_reached(checkpoints, config) else ""
        plan = worker.Plan(settings=shown, run_id=run_id, data=data, checkpoints=kept, **facts)
        (folder / worker.PLAN).write_text(plan.model_dump_json(), encoding="utf-8")
        (folder / worker.ENCODER).write_text(json.dumps(encoder.to_dict()), encoding="utf-8")
        torch.save(module.state_dict(), folder / worker.START)
        if config.train.nodes > 1:
            trainjob.run(config, run_id, folder)
        else:
            _run_here(config, folder)
        module.load_state_dict(torch.load(folder / worker.WEIGHTS, weights_only=True, map_location="cpu"))


def _require_two_rows(module: "LightningModule", rows: int, config: Settings) -> None:
    """Check that no worker gets a batch of one row, where the network has batch normalisation.

    Raises:
        TrainingError: One does: the workers' shares have different numbers of rows,
            and must have as many batches.
    """
    from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

    from mlops_lib.loaders.batches import Batches

    world = config.train.processes * config.train.nodes
    per_worker = lightning_fit.rows_of_a_batch(config, world)
    layers = [one for one in module.modules() if isinstance(one, _BatchNorm)]
    if config.train.trainer.get("sync_batchnorm") or all(isinstance(one, SyncBatchNorm) for one in layers):
        return
    if not config.train.datamodule and Batches(rows, per_worker, True, 0).smallest(world) < 2:
        raise TrainingError(
            f"{rows} training rows in batches of {per_worker} for each of {world} processes leave a batch of one row, from "
            f"which batch normalisation cannot learn. Set train.batch_size: {3 * world} or more."
        )


def _data_folder(data_loader: BaseDataLoader, config: Settings, folder: Path) -> str:
    """The folder that workers read the splits from; "" after writing them to `folder`, beside the plan."""
    # Only a folder that a loader wrote holds the rows as the loader gives them.
    from mlops_lib.loaders.files import LocalDataLoader

    own = None
    if isinstance(data_loader, LocalDataLoader) and not data_loader.source.options.prepare:
        own = data_loader.path
    if own and _is_reached(own, config) and (own / COLUMNS_FILE).is_file():
        return str(own)
    data_loader.write(folder)
    return ""


def _is_reached(folder: Path, config: Settings) -> bool:
    """Whether all workers can use a folder of this machine."""
    volume = config.cluster.volume_path if config.cluster.volume_claim else ""
    return config.train.nodes == 1 or bool(volume and folder.is_relative_to(volume))


def _run_here(config: Settings, folder: Path) -> None:
    """Start the workers on this machine, wait for them, and stop them all on any error."""
    from torch.distributed import TCPStore

    world = config.train.processes
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = {
        **os.environ,
        # All workers together have as many threads as the machine has cores.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max((os.cpu_count() or 1) // world, 1)),
        "MLFLOW_TRACKING_URI": tracking_uri(config),
        # Workers can import the user's own modules, like this process.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        # The workers meet at a store of this process: a port that is only chosen here may be taken when they listen.
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        worker.PARENT_ENV: str(os.getpid()),
    }
    command = [sys.executable, "-P", "-m", worker.__name__, str(folder)]
    with contextlib.ExitStack() as stack:
        workers = []
        for number in range(world):
            output = stack.enter_context((folder / f"worker-{number}.out").open("wb"))
            log = stack.enter_context((folder / f"worker-{number}.log").open("wb"))
            own = {
                "RANK": str(number),
                "LOCAL_RANK": str(number),
                worker.ERROR_FILE_ENV: str(folder / f"worker-{number}.error"),
            }
            process = subprocess.Popen(
                command, env={**environment, **own}, stdin=subprocess.DEVNULL, stdout=output, stderr=log
            )
            stack.callback(_stop, process)
            workers.append(process)
        _wait(workers, folder)


def _wait(workers: list[subprocess.Popen], folder: Path) -> None:
    """Wait until all workers have ended, and print the output of worker 0 meanwhile.

    Raises:
        TrainingError: A worker failed.
    """
    with (folder / "worker-0.out").open(encoding="utf-8", errors="replace") as output:
        failed_at = None
        while True:
            codes = [process.poll() for process in workers]
            if text := output.read():
                print(text, end="", flush=True)
            if failed_at is None and any(codes):
                failed_at = time.monotonic()
            if all(code is not None for code in codes) or (
                failed_at and time.monotonic() - failed_at > GRACE_S
            ):
                break
            time.sleep(POLL_S)
    if any(codes):
        raise TrainingError(_reason(codes, folder))


def _reason(codes: list[int | None], folder: Path) -> str:
    """Why the training failed: a worker that was killed, else the oldest error file,
    else the end of a log."""
    world = len(codes)
    for number, code in enumerate(codes):
        if code and code < 0:
            name = signal.Signals(-code).name
            return (
                f"Worker {number} of {world} was killed by {name}: out of memory, or by hand. "
                "The others were stopped."
            )
    errors = sorted(folder.glob("worker-*.error"), key=lambda file: file.stat().st_mtime_ns)
    if errors:
        first = errors[0].stem.removeprefix("worker-")
        return f"Worker {first} of {world} failed: {errors[0].read_text(encoding='utf-8')}"
    number = next(number for number, code in enumerate(codes) if code)
    lines = (folder / f"worker-{number}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return mask(
        f"Worker {number} of {world} ended with exit code {codes[number]}:\n" + "\n".join(lines[-LAST_LINES:])
    )


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
