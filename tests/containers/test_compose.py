"""deploy/compose.yaml started for real: MLflow, the service and JupyterLab on one machine."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import ROOT
from tests.containers.platform import ask
from tests.containers.test_images import CUSTOMER
from tests.support.servers import free_port, install
from tests.support.waiting import LIMIT_S, until

PORTS = ("MLFLOW_PORT", "SERVICE_PORT", "JUPYTER_PORT")


@dataclass(frozen=True)
class Started:
    """The running services, by the address of each."""

    compose: Callable[..., str]
    mlflow: str
    service: str
    jupyter: str


@pytest.fixture(scope="session")
def compose(docker, serve_image, notebook_image) -> Callable[..., str]:
    """Run docker compose, or Debian's docker-compose, on the file."""
    name = f"mlops-test-{free_port()}"
    environment = {**os.environ, "NOTEBOOK_IMAGE": notebook_image, "SERVE_IMAGE": serve_image}
    environment |= {port: str(free_port()) for port in PORTS}
    program = [docker.program, "compose"]
    if subprocess.run([*program, "version"], capture_output=True, check=False).returncode:
        install("docker-compose")
        program = ["/usr/bin/docker-compose"]

    def run(*arguments: str, timeout_s: float = LIMIT_S) -> str:
        done = subprocess.run(
            [*program, "-p", name, "-f", str(ROOT / "deploy/compose.yaml"), *arguments], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"compose {' '.join(arguments)}:\n{done.stdout[-6000:]}"
        return done.stdout

    run.name, run.ports = name, {port: environment[port] for port in PORTS}
    return run


@pytest.fixture(scope="session")
def started(docker, compose) -> Iterator[Started]:
    """Up, and down again with its volumes."""
    urls = [f"http://127.0.0.1:{port}" for port in compose.ports.values()]
    try:
        compose("up", "--detach")
        yield Started(compose, *urls)
    finally:
        compose("down", "--volumes", "--timeout", "20")


def test_from_an_empty_machine_to_a_prediction(docker, started):
    """A pipeline run in JupyterLab's container registers in MLflow; once promoted, the service serves that version."""
    logs = lambda: started.compose("logs", "--tail", "40")
    until(lambda: ask(f"{started.mlflow}/health")[0] == 200, "MLflow", logs)
    until(lambda: ask(f"{started.service}/livez")[0] == 200, "the service", logs)
    assert ask(f"{started.service}/readyz")[0] == 503
    mlops = ("exec", "-T", "jupyter", "mlops")
    options = ("--limit", "1000", "--max-epochs", "2", "--threshold", "0.5")
    said = started.compose(*mlops, "run", *options, timeout_s=3600)
    assert "repurchase version 1 at Staging" in said
    started.compose(*mlops, "promote", "repurchase", "1")
    until(lambda: ask(f"{started.service}/readyz")[0] == 200, "the model", logs)
    status, answer = ask(f"{started.service}/predict", {"inputs": CUSTOMER})
    assert status == 200 and 0 <= answer["predictions"] <= 1
    assert (answer["model"]["version"], answer["model"]["stage"]) == (1, "Production")


def test_jupyterlab_asks_for_its_token(started):
    """Without the token there is only the login page."""
    status, page = until(lambda: ask(f"{started.jupyter}/lab"), "JupyterLab")
    assert status == 200 and "Password or token" in page
    assert ask(f"{started.jupyter}/api/contents")[0] == 403


def test_going_down_keeps_the_store(docker, started):
    """`down` keeps the volumes, so that the next `up` finds every run; `down --volumes` takes them away."""
    volumes = ("volume", "ls", "--quiet", "--filter", f"name={started.compose.name}")
    started.compose("down", "--timeout", "20")
    assert len(docker(*volumes).split()) == 2
    started.compose("up", "--detach", "mlflow")
    body = {"experiment_ids": ["1"]}
    found = until(lambda: ask(f"{started.mlflow}/api/2.0/mlflow/runs/search", body), "MLflow")[1]
    assert {run["info"]["status"] for run in found["runs"]} == {"FINISHED"}
    started.compose("down", "--volumes", "--timeout", "20")
    assert docker(*volumes) == ""
