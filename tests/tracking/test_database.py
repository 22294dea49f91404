"""Several processes that find a fresh MLflow store at the same time."""

import subprocess
import sys

import pytest

from tests.support import servers

PROCESSES = 4
CONNECT = """
import sys
import mlflow
from mlops_lib import config, registry, tracking
settings = config.load(sys.argv[1])
print("ready", flush=True)
input()
client = tracking.connect(settings)
registry.Registry(settings).names()
print(client.get_experiment_by_name(settings.mlflow.experiment).experiment_id)
"""


def connect_at_once(folder, uri: str = "") -> list[str]:
    """What processes print that connect to one fresh store when all of them have imported MLflow."""
    lines = [
        "data: {source: a.csv, label: y}",
        "evaluation: {threshold: 0.5}",
        "mlflow:",
        "  experiment: race",
    ]
    (folder / "config.yaml").write_text("\n".join([*lines, f"  tracking_uri: {uri}" if uri else ""]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONNECT, str(folder / "config.yaml")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, answers
    return [printed for printed, _ in answers]


def test_processes_share_a_fresh_sqlite_store(tmp_path):
    """Alembic's race once stopped all but one of them; now all use the one experiment."""
    assert len(set(connect_at_once(tmp_path))) == 1


@pytest.mark.slow
def test_processes_share_a_fresh_postgresql_store(tmp_path):
    """The lock is the server's own, so that it also holds between machines."""
    with servers.postgres_server() as port:
        uri = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGPASSWORD", servers.PASSWORD)
            assert len(set(connect_at_once(tmp_path, uri))) == 1
