"""From a table to a served answer by the command line alone."""

import json
import os
import subprocess
import urllib.request

import pytest

from tests.support.projects import BIN, Project
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_S, until


@pytest.mark.slow
def test_a_table_is_trained_promoted_and_served_with_its_raw_rows(customers, tmp_path):
    """Text, dates, gaps and a label Yes/No; the row of the source is sent whole, with key and label."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    (tmp_path / "churn").mkdir()
    project = Project(tmp_path / "churn")
    for command in (["init", ".", "--source", "../churn.csv"], ["run"], ["promote", "churn", "1"]):
        done = project.mlops(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    port, log = free_port(), tmp_path / "service.log"
    with log.open("w") as stream:
        service = subprocess.Popen(
            [BIN / "mlops", "serve", "--port", str(port)],
            cwd=project.root,
            env=os.environ,
            stdout=stream,
            stderr=stream,
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert service.poll() is None, log.read_text()
        return urllib.request.urlopen(f"{url}/readyz", timeout=LIMIT_S).status == 200

    rows = json.loads(customers.head(20).to_json(orient="records"))
    try:
        until(ready, "the service is ready", log.read_text)
        request = urllib.request.Request(
            f"{url}/predict", json.dumps({"inputs": rows}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
            answer = json.load(response)
    finally:
        service.terminate()
        service.wait()
    assert len(answer["predictions"]) == 20 and all(0 <= p <= 1 for p in answer["predictions"])
    assert answer["classes"] == ["No", "Yes"]
