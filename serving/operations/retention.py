"""Deletes stored conversations, traces and predictions that are older than the settings allow."""

import asyncio
import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

from mlops_lib.wrappers.graph.threads import THREADS_FILE
from serving.callers import stored_threads
from serving.service import Service

log = logging.getLogger("serving")
#: Seconds before the first sweep, when the model is loaded, and between two sweeps.
FIRST_S, SWEEP_S = 120.0, 3600.0
DAY_S = 86_400.0
#: Seconds between the epochs of UUIDs (1582-10-15) and of Unix.
_UUID_EPOCH_S = 12_219_292_800
#: Most traces that are deleted in one sweep.
MAX_TRACES = 10_000


async def sweep_forever(service: Service) -> None:
    """Sweep now and then. Returns at once where nothing is ever deleted."""
    wanted, wait_s = service.settings.serving.retention, FIRST_S
    while wanted.threads_days or wanted.traces_days or wanted.predictions_days:
        await asyncio.sleep(wait_s)
        await asyncio.to_thread(sweep, service, time.time())
        wait_s = SWEEP_S


def sweep(service: Service, now_s: float) -> None:
    """Delete all that is too old at `now_s` (Unix time). A part that fails is logged;
    the others are swept."""
    wanted = service.settings.serving.retention
    for days, part in (
        (wanted.threads_days, _threads), (wanted.traces_days, _traces), (wanted.predictions_days, _predictions),
    ):  # fmt: skip
        if not days:
            continue
        try:
            count = part(service, now_s - days * DAY_S)
        except Exception:  # a locked file or a registry that is away; the next sweep tries again
            log.exception("old data was not deleted: %s", part.__name__.strip("_"))
            continue
        if count:
            log.info("deleted %d old %s", count, part.__name__.strip("_"))


def delete_threads(file: Path, before_s: float) -> list[str]:
    """Delete the conversations in a file of LangGraph's whose last turn is older; their ids."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=10)) as tables, tables:
        found = tables.execute(
            "SELECT thread_id, MAX(checkpoint_id) FROM checkpoints GROUP BY thread_id"
        ).fetchall()
        old = [thread for thread, checkpoint in found if _written_s(checkpoint) < before_s]
        stored_threads.delete(tables, old)
    return old


def _threads(service: Service, before_s: float) -> int:
    settings = service.settings
    old = delete_threads(settings.path(settings.pipeline.work_dir) / THREADS_FILE, before_s)
    service.threads.forget(old)
    return len(old)


def _predictions(service: Service, before_s: float) -> int:
    return service.log.delete(before_s) if service.log else 0


def _traces(service: Service, before_s: float) -> int:
    """Traces of the experiment that the champion was trained in: its traces go there."""
    champion = service.models.served.get("champion")
    if champion is None or not champion.version.run_id:
        return 0
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_run(champion.version.run_id).info.experiment_id
    return client.delete_traces(experiment, max_timestamp_millis=int(before_s * 1e3), max_traces=MAX_TRACES)


def _written_s(checkpoint: str) -> float:
    """The Unix time of a checkpoint, whose id is a UUID of version 6. An id of another form is never old."""
    try:
        found = UUID(checkpoint)
    except ValueError:
        return float("inf")
    ticks = int(found.hex[:12] + found.hex[13:16], 16)  # of 100 ns; the version is between the two parts
    return ticks / 1e7 - _UUID_EPOCH_S if found.version == 6 else float("inf")
