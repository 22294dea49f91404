"""Deletion of old data, with a clock as the argument."""

import asyncio
import sqlite3
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_lib.settings import Settings
from mlops_lib.settings.serving import RetentionSettings
from serving.callers.threads import ThreadOwners
from serving.inference.rows import Context, Rows
from serving.inference.schema import RequestSchema
from serving.operations import retention
from serving.operations.metrics import Metrics
from serving.operations.prediction_log import PredictionLog
from serving.operations.records import Record
from serving.operations.retention import DAY_S, delete_threads, sweep

NOW = time.time()


@pytest.fixture
def conversations(tmp_path):
    """A file with the conversations a and b, written by LangGraph now."""
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.sqlite import SqliteSaver

    file = tmp_path / "threads.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for thread in ("a", "b"):
            for _ in range(2):
                place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
                made = saver.put(place, empty_checkpoint(), {}, {})
                saver.put_writes(made, [("answer", "x")], "task")
    return file


def threads(file) -> set[str]:
    """Conversations in a file."""
    tables = sqlite3.connect(file)
    found = {
        row[0]
        for name in ("checkpoints", "writes")
        for row in tables.execute(f"SELECT thread_id FROM {name}")
    }
    tables.close()
    return found


def test_old_conversations_are_deleted_whole(conversations):
    """All of a conversation goes when its last turn is old, and nothing of another one."""
    assert delete_threads(conversations, NOW - DAY_S) == [] and threads(conversations) == {"a", "b"}
    later = sqlite3.connect(conversations)
    # A turn in the far future: UUIDs of version 6 begin with the time.
    later.execute(
        "UPDATE checkpoints SET checkpoint_id = '2' || substr(checkpoint_id, 2) WHERE thread_id = 'b'"
    )
    later.commit()
    later.close()
    assert delete_threads(conversations, NOW + DAY_S) == ["a"] and threads(conversations) == {"b"}


def test_a_file_that_is_missing_or_has_other_ids_loses_nothing(tmp_path, conversations):
    """An id that is no UUID of version 6 is never old."""
    assert delete_threads(tmp_path / "none.db", NOW) == []
    tables = sqlite3.connect(conversations)
    tables.execute("UPDATE checkpoints SET checkpoint_id = 'x' || thread_id || rowid")
    tables.commit()
    tables.close()
    assert delete_threads(conversations, NOW + 10 * DAY_S) == []


def record(request_id: str, at_s: float) -> Record:
    """A record of a request with one row."""
    version, facts = SimpleNamespace(name="m", version=1, run_id="run"), SimpleNamespace(digest="d")
    served: Any = SimpleNamespace(version=version, facts=facts, role="champion")
    context = Context(request_id, 10, deadline=0.0, caller="shop")
    return Record(context, "champion", served, Rows(RequestSchema(None), [{"x": 1}]), [1.0], 0.1, at_s)


def service(tmp_path, log: PredictionLog | None = None, **days: float) -> Any:
    """The parts of a service that a sweep needs."""
    settings = Settings.model_construct(
        serving=SimpleNamespace(retention=RetentionSettings(**days)),
        pipeline=SimpleNamespace(work_dir=str(tmp_path)), root=tmp_path,
    )  # fmt: skip
    models = SimpleNamespace(served={})
    return SimpleNamespace(
        settings=settings, log=log, models=models, threads=ThreadOwners(tmp_path / "callers.db")
    )


def test_old_files_of_the_prediction_log_are_deleted(tmp_path):
    """Files, and the requests that feedback may name, go after the days of the setting and not before."""
    log = PredictionLog(tmp_path / "log", Metrics())
    log.start()
    log.add(record("r", NOW))
    log.stop()
    swept = service(tmp_path, log, predictions_days=30)

    def known() -> int | None:
        return asyncio.run(log.requests.rows("r", "shop"))

    sweep(swept, NOW + 29 * DAY_S)
    assert len(list((tmp_path / "log").glob("predictions-*"))) == 1 and known() == 1
    sweep(swept, NOW + 31 * DAY_S)
    assert list((tmp_path / "log").glob("predictions-*")) == [] and known() is None


def test_a_deleted_conversation_has_no_owner(tmp_path, conversations):
    """Its id is free for another caller; without the setting it stays."""
    kept, swept = service(tmp_path), service(tmp_path, threads_days=7)
    asyncio.run(swept.threads.claim("one", [{"thread_id": "a"}]))
    sweep(kept, NOW + 1000 * DAY_S)
    assert threads(conversations) == {"a", "b"}
    sweep(swept, NOW + 8 * DAY_S)
    assert threads(conversations) == set()
    asyncio.run(swept.threads.claim("another", [{"thread_id": "a"}]))


@pytest.mark.slow
def test_old_traces_are_deleted(tmp_path, blank_store, monkeypatch):
    """Traces of the champion's experiment go, those of other experiments stay."""
    import shutil

    import mlflow

    shutil.copy(blank_store, tmp_path / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        for name in ("other", "mine"):
            mlflow.set_experiment(name)
            mlflow.trace(lambda: None, name="call")()
        mlflow.flush_trace_async_logging()
        run = mlflow.MlflowClient().create_run(mlflow.get_experiment_by_name("mine").experiment_id)
        swept = service(tmp_path, traces_days=1)
        swept.models.served["champion"] = SimpleNamespace(version=SimpleNamespace(run_id=run.info.run_id))

        def traces() -> dict[str, int]:
            ids = {name: mlflow.get_experiment_by_name(name).experiment_id for name in ("other", "mine")}
            return {
                name: len(mlflow.search_traces(locations=[one], return_type="list"))
                for name, one in ids.items()
            }

        sweep(swept, NOW)
        assert traces() == {"other": 1, "mine": 1}
        sweep(swept, NOW + 2 * DAY_S)
        assert traces() == {"other": 1, "mine": 0}
    finally:
        mlflow.set_tracking_uri(before)


def test_a_part_that_fails_leaves_the_others(tmp_path, conversations, monkeypatch, caplog):
    """A registry that is away keeps no conversation."""
    monkeypatch.setattr(retention, "_threads", lambda *_: 1 / 0)
    log = PredictionLog(tmp_path / "log", Metrics())
    log.start()
    log.add(record("r", NOW))
    log.stop()
    sweep(service(tmp_path, log, threads_days=1, predictions_days=1), NOW + 3 * DAY_S)
    assert list((tmp_path / "log").glob("predictions-*")) == []
