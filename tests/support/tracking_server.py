"""An MLflow server, for what needs one that other machines could reach."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest


@pytest.fixture(scope="session")
def tracking_server(blank_store, tmp_path_factory):
    """The address of a real MLflow server on a SQLite file."""
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(blank_store, folder / "mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
