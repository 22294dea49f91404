"""Traces of the `llm` wrapper: each answer and each failure in MLflow, without secrets, off the path of the answer."""

import logging
import os
import subprocess
import sys

import mlflow
import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.errors import ModelError
from mlops_lib.llm.traces import answers as traces
from tests.support.llm_fixtures import KEY
from tests.support.waiting import until


@pytest.mark.slow
def test_each_answer_leaves_a_trace(vendor, llm_project):
    """Whole, streamed and failed: with messages, answer, tokens and the reason of a failure, and never the key."""
    settings = config.load(llm_project(rows=2, llm={"tracing": True, "max_retries": 0}))
    trained = wrappers.from_settings(settings)
    made = trained.train(loaders.from_settings(settings), settings)
    model = wrappers.load(made.model_uri, "llm")
    assert model.predict("one") == "Answer to: one"
    vendor.control(faults=[{"kind": "401", "times": -1}])
    with pytest.raises(ModelError, match="Incorrect API key"):
        model.predict("two")
    model._traces.writer.close()
    client, experiment = mlflow.MlflowClient(), mlflow.get_run(made.run_id).info.experiment_id
    written = lambda: client.search_traces(locations=[experiment], order_by=["timestamp_ms ASC"])
    until(lambda: len(written()) == 2, "both traces are written")
    first, second = (trace.data.spans[0] for trace in written())
    assert first.inputs["messages"] == [{"role": "user", "content": "one"}]
    assert first.outputs["choices"][0]["message"]["content"] == "Answer to: one"
    assert first.attributes["mlflow.chat.tokenUsage"] == {
        "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
    }  # fmt: skip
    assert second.status.status_code.name == "ERROR"
    text = str([event.attributes for event in second.events])
    assert "Incorrect API key" in text and KEY not in text and "***" in text


def test_a_full_queue_drops_traces_and_says_so(monkeypatch, caplog):
    """An answer never waits for MLflow."""
    monkeypatch.setattr(traces, "MAX_WAITING", 2)
    found = traces.Writer("sqlite://")
    found._command = [sys.executable, "-c", "import time; time.sleep(600)"]  # a writer that reads nothing
    with caplog.at_level(logging.WARNING, "mlops_lib"):
        for _ in range(20):
            found.add({"text": "x" * 100_000})
    until(lambda: found._writer is not None, "the writer is started")
    found._command = [sys.executable, "-c", ""]
    found._writer.kill()
    found.close()
    assert "traces were dropped" in caplog.text


def test_the_writers_log_has_no_password(tmp_path):
    """MLflow's errors quote the address of its server."""
    code = "def start_span_no_context(*_, **__): raise OSError('no http://ada:l0velace@host/api')"
    (tmp_path / "mlflow.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    trace = b'{"inputs": {}, "experiment_id": "0", "began_ns": 1}'
    done = subprocess.run(
        [sys.executable, "-m", "mlops_lib.llm.traces.writer"],
        input=trace,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    log = done.stderr.decode()
    assert "a trace was not written" in log and "***@host" in log and "l0velace" not in log
