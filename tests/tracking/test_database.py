"""Several processes that find a fresh MLflow store at the same time."""

import subprocess
import sys

import pytest

from tests.support import servers

PROCESSES = 4
#: Forks, after the imports, processes that wait for each other and connect.
CONNECT = """
import multiprocessing
import sys
import mlflow
from mlops_lib import config, registry, tracking
settings, processes = config.load(sys.argv[1]), int(sys.argv[2])
forks = multiprocessing.get_context("fork")
barrier = forks.Barrier(processes)

def connect(_):
    barrier.wait()
    client = tracking.connect(settings)
    registry.Registry(settings).names()
    return client.get_experiment_by_name(settings.mlflow.experiment).experiment_id

with forks.Pool(processes) as pool:
    print(*pool.map(connect, range(processes), chunksize=1))
"""


def connect_at_once(folder, uri: str = "") -> list[str]:
    """The experiment's id in each of some processes that connect to one fresh store at the same time."""
    lines = [
        "data: {source: a.csv, label: y}",
        "evaluation: {threshold: 0.5}",
        "mlflow:",
        "  experiment: race",
    ]
    (folder / "config.yaml").write_text("\n".join([*lines, f"  tracking_uri: {uri}" if uri else ""]))
    command = [sys.executable, "-c", CONNECT, str(folder / "config.yaml"), str(PROCESSES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_processes_share_a_fresh_sqlite_store(tmp_path):
    """Alembic's race once stopped all but one of them; now all use the one experiment."""
    ids = connect_at_once(tmp_path)
    assert len(ids) == PROCESSES and len(set(ids)) == 1


@pytest.mark.slow
def test_processes_share_a_fresh_postgresql_store(tmp_path):
    """The lock is the server's own, so that it also holds between machines."""
    with servers.postgres_server() as port:
        uri = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGPASSWORD", servers.PASSWORD)
            ids = connect_at_once(tmp_path, uri)
    assert len(ids) == PROCESSES and len(set(ids)) == 1
