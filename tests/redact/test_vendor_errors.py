"""Errors of real vendor SDKs and drivers with a key in them, through every exit of the platform."""

import asyncio
import io
import json
import logging
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mlops_lib import tracking
from mlops_lib.llm.chat import chat_model, openai_client
from mlops_lib.redact.output import MaskedRecord
from mlops_lib.redact.traces import mask_traces
from mlops_lib.settings import LlmSettings
from mlops_lib.steps.record import _mask
from serving.isolation.failures import failed
from serving.operations.records import Feedback, write_table
from serving.protocols import openai as protocol
from serving.web.problems import Problem
from tests.support.llm_fixtures import KEY, Vendor

SETTINGS = LlmSettings(max_retries=0, timeout_s=60.0)
PASSWORD = "hunter2-hunter2"


def streamed(name: str) -> None:
    """Read a stream to its end."""

    async def read() -> None:
        async for _ in chat_model(name, SETTINGS).astream("hi"):
            pass

    asyncio.run(read())


def embedding() -> None:
    """Embed a text, as a metric does."""
    asyncio.run(openai_client("openai:e", SETTINGS).embeddings.create(model="e", input=["a"]))


def judge() -> None:
    """Ask a judge, as a metric does."""
    client = openai_client("openai:j", SETTINGS)
    asyncio.run(client.chat.completions.create(model="j", messages=[{"role": "user", "content": "?"}]))


def database() -> None:
    """Open a database that is away."""
    import sqlalchemy

    url = f"postgresql+psycopg://app:{PASSWORD}@127.0.0.1:1/x"
    try:
        sqlalchemy.create_engine(url).connect()
    except Exception as error:
        raise OSError(f"{url}: {error}") from error


def feature_store() -> None:
    """Read a Redis that is away, with the connection text of Feast."""
    raise ConnectionError(f"Error 111 connecting to 127.0.0.1:1,password={PASSWORD},ssl=true: refused")


SOURCES: dict[str, Callable[[], None]] = {
    "openai": lambda: chat_model("openai:gpt-test", SETTINGS).invoke("hi") and None,
    "openai, streamed": lambda: streamed("openai:gpt-test"),
    "anthropic": lambda: chat_model("anthropic:claude-x", SETTINGS).invoke("hi") and None,
    "anthropic, streamed": lambda: streamed("anthropic:claude-x"),
    "embedding": embedding,
    "judge": judge,
    "database": database,
    "feature store": feature_store,
}


@pytest.fixture(params=SOURCES.values(), ids=SOURCES.keys())
def error(request: pytest.FixtureRequest, vendor: Vendor) -> Exception:
    """An error with a secret in its text."""
    vendor.control(faults=[{"kind": "401", "times": -1}])
    with pytest.raises(Exception, match=rf"{KEY}|{PASSWORD}") as caught:
        request.param()
    return caught.value


def test_no_exit_lets_a_secret_of_an_error_out(
    error: Exception, tmp_path: Path, blank_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log, answer in each protocol's form, model process, trace, artifact, notebook, prediction log and parameter."""
    import mlflow

    shutil.copy(blank_store, tmp_path / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("e", (tmp_path / "artifacts").as_uri()))
    try:
        mask_traces()
        with pytest.raises(type(error)), mlflow.start_span("call") as span:
            span.set_inputs({"error": str(error)})
            raise error
        mlflow.flush_trace_async_logging()
        run = mlflow.MlflowClient().create_run(mlflow.get_experiment_by_name("e").experiment_id).info.run_id
        tracking.log_text(run, json.dumps({"error": str(error)}), "evaluation/report.json")
        tracking.log_outputs(run, "03_evaluate", {"reason": str(error)})
    finally:
        mlflow.set_tracking_uri(before)
    notebook = tmp_path / "executed.ipynb"
    notebook.write_text(json.dumps({"cells": [{"outputs": [{"evalue": str(error)}]}]}))
    _mask(notebook)
    json.loads(notebook.read_text())
    write_table(tmp_path / "feedback.parquet", [Feedback("id", "", 0, str(error), 0.0, 9).as_row()])
    (tmp_path / "rows.txt").write_text(str(pq.read_table(tmp_path / "feedback.parquet").to_pylist()))
    written = io.StringIO()
    record = MaskedRecord(
        "x", logging.ERROR, "f", 1, "%s", (error,), (type(error), error, error.__traceback__)
    )
    logging.StreamHandler(written).handle(record)
    problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model_failed", f"The model failed: {error}")
    sent = failed(1, error)
    answers: list[Any] = [problem.body("id"), protocol.problem(None, problem).body, sent.traceback]  # type: ignore[arg-type]
    (tmp_path / "answers.txt").write_text(f"{written.getvalue()}{answers}")
    found = [
        file for file in tmp_path.rglob("*")
        if file.is_file() and any(secret.encode() in file.read_bytes() for secret in (KEY, PASSWORD))
    ]  # fmt: skip
    assert found == []
    assert written.getvalue().count("***") >= 2 and b"***" in problem.body("id")
