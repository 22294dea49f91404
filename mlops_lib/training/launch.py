"""Train one network in several processes: Lightning's DDP, on this machine or on the nodes of a TrainJob.

A notebook's kernel cannot be a rank itself: it has threads, which a fork does not survive, and no script that a
launcher could start again. So it leaves a plan in a folder, has the ranks started (`mlops_lib.training.worker`),
and takes over the weights that rank 0 leaves.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import SPLITS, BaseDataLoader
from mlops_lib.loaders.reading import files_of_split
from mlops_lib.redact import masked, without_password
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri
from mlops_lib.training import trainjob
from mlops_lib.training import worker as one

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

#: When one rank fails, others do too, for want of it; so long they have, so that the first cause is found.
GRACE_S, STOP_S, LOOK_S = 2.0, 5.0, 0.1
LAST_LINES = 10


def fit(
    module: "LightningModule",
    data_loader: BaseDataLoader,
    config: Settings,
    run_id: str,
    facts: Mapping[str, int],
) -> None:
    """Fit the module in ``train.processes`` ranks on each of ``train.nodes``; leaves it with the weights of the best epoch.

    Args:
        module: The network, its preprocessing fitted.
        data_loader: The rows; written to files where they are in none yet.
        config: Resolved settings.
        run_id: MLflow run that rank 0 logs to.
        facts: ``n_features`` and ``n_classes``.

    Raises:
        TrainingError: A rank failed or was killed; says which and why. None is left running.
    """
    import torch

    world = config.train.processes * config.train.nodes
    for split in ("train", "validation"):
        if (rows := data_loader.count(split)) < world:
            raise TrainingError(
                f"Split {split!r} has {rows} rows, which {world} processes cannot share. "
                "Lower train.processes or train.nodes."
            )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = without_password(tracking_uri(config))
        shown = config.model_copy(
            update={"mlflow": config.mlflow.model_copy(update={"tracking_uri": uri})}
        ).model_dump_json(exclude={"secrets"})
        plan = one.Plan(
            settings=shown, run_id=run_id, data=_files(data_loader, config, folder / one.DATA), **facts
        )
        (folder / one.PLAN).write_text(plan.model_dump_json(), encoding="utf-8")
        torch.save(module.state_dict(), folder / one.START)
        if config.train.nodes > 1:
            trainjob.run(config, run_id, folder)
        else:
            _run_here(config, folder)
        module.load_state_dict(torch.load(folder / one.WEIGHTS, weights_only=True, map_location="cpu"))


def _files(data_loader: BaseDataLoader, config: Settings, folder: Path) -> str:
    """Where every rank finds the splits as files; "" when they are written beside the plan."""
    # Ranks open a prepared folder: of any other loader they would read other rows than it gives.
    from mlops_lib.loaders.files import LocalDataLoader

    own = None
    if isinstance(data_loader, LocalDataLoader) and not data_loader.source.prepare:
        own = data_loader.path
    volume = config.cluster.volume_path if config.cluster.volume_claim else ""
    reached = config.train.nodes == 1 or (volume and own and own.is_relative_to(volume))
    if reached and own and all(files_of_split(own, split) for split in SPLITS):
        return str(own)
    data_loader.write(folder)
    return ""


def _run_here(config: Settings, folder: Path) -> None:
    world = config.train.processes
    environment = {
        **os.environ,
        # Threads of all ranks together are as many as there are cores.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max((os.cpu_count() or 1) // world, 1)),
        "MLFLOW_TRACKING_URI": tracking_uri(config),
        # What this process can import, its ranks can: modules of the user's own, say.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        one.PARENT_ENV: str(os.getpid()),
    }
    command = [sys.executable, "-P", "-m", one.__name__, str(folder)]
    with contextlib.ExitStack() as stack:
        ranks = []
        for rank in range(world):
            said = stack.enter_context((folder / f"rank-{rank}.out").open("wb"))
            log = stack.enter_context((folder / f"rank-{rank}.log").open("wb"))
            own = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                one.LAST_WORDS_ENV: str(folder / f"rank-{rank}.error"),
            }
            process = subprocess.Popen(
                command, env={**environment, **own}, stdin=subprocess.DEVNULL, stdout=said, stderr=log
            )
            stack.callback(_stop, process)
            ranks.append(process)
        _follow(ranks, folder)


def _follow(ranks: list[subprocess.Popen], folder: Path) -> None:
    """Print what rank 0 prints until all have ended.

    Raises:
        TrainingError: One ended badly.
    """
    with (folder / "rank-0.out").open(encoding="utf-8", errors="replace") as said:
        failed_at = None
        while True:
            states = [process.poll() for process in ranks]
            if text := said.read():
                print(text, end="", flush=True)
            if failed_at is None and any(states):
                failed_at = time.monotonic()
            if all(state is not None for state in states) or (
                failed_at and time.monotonic() - failed_at > GRACE_S
            ):
                break
            time.sleep(LOOK_S)
    if any(states):
        raise TrainingError(_why(states, folder))


def _why(states: list[int | None], folder: Path) -> str:
    """The first cause: a rank that was killed, else the one whose last words are the oldest."""
    world = len(states)
    for rank, state in enumerate(states):
        if state and state < 0:
            name = signal.Signals(-state).name
            return f"Rank {rank} of {world} was killed by {name}: out of memory, or by hand. The others were stopped."
    said = sorted(folder.glob("rank-*.error"), key=lambda file: file.stat().st_mtime_ns)
    if said:
        number = said[0].stem.removeprefix("rank-")
        return f"Rank {number} of {world} failed: {said[0].read_text(encoding='utf-8')}"
    rank = next(rank for rank, state in enumerate(states) if state)
    lines = (folder / f"rank-{rank}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return masked(f"Rank {rank} of {world} ended with {states[rank]}:\n" + "\n".join(lines[-LAST_LINES:]))


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
