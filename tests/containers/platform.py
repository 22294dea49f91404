"""What containers talk to on the host, and how they are run: hardened, as deploy/run-hardened.sh runs them."""

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.containers.engine import Docker, remove
from tests.support.servers import free_port
from tests.support.shop import answer_to

#: Inside a container, the machine that it runs on.
HOST = "host.docker.internal"


def until(holds: Callable[[], Any], what: str, said: Callable[[], str] = str, seconds: float = 180) -> Any:
    """Wait until `holds()` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := holds():
                return found
        except (OSError, HTTPException):
            pass
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}:\n{said()[-4000:]}")


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of a GET, or of a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    status, said = answer_to(request)
    return status, said.decode() if isinstance(said, bytes) else said


@contextmanager
def mlflow_server(docker: Docker, folder: Path) -> Iterator[tuple[str, str]]:
    """A real MLflow server on the host: its address for the host, and for containers."""
    gateway = _gateway(docker)
    address = gateway if _is_ours(gateway) else "127.0.0.1"  # where the engine is in a machine of its own
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", address, "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts",
        "--allowed-hosts", f"{HOST}:{port},{address}:{port}",
    ]  # fmt: skip
    with (folder / "mlflow.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    outside = f"http://{address}:{port}"
    try:
        until(lambda: ask(f"{outside}/health")[0] == 200, "MLflow", (folder / "mlflow.log").read_text)
        yield outside, f"http://{HOST}:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _gateway(docker: Docker) -> str:
    """The engine's own address on its bridge; one that has just made the bridge tells the network alone."""
    bridge = json.loads(docker("network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"))
    return bridge.get("Gateway") or str(ipaddress.ip_network(bridge["Subnet"])[1])


def _is_ours(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Container:
    """A running container of the service."""

    docker: Docker
    name: str
    url: str

    def is_ready(self) -> bool:
        """Whether it answers so; an error once it has ended."""
        assert self.state("Running") == "true", self.logs()
        return ask(f"{self.url}/readyz")[0] == 200

    def logs(self) -> str:
        """What it printed."""
        return self.docker("logs", self.name, check=False)

    def shell(self, command: str) -> str:
        """What a shell command inside printed, failed or not."""
        return self.docker("exec", self.name, "sh", "-c", command, check=False)

    def state(self, field: str) -> str:
        """A field of ``docker inspect``."""
        return self.docker("inspect", "--format", f"{{{{.State.{field}}}}}", self.name)


@contextmanager
def service(docker: Docker, image: str, *options: str, ready: bool = True) -> Iterator[Container]:
    """The service as deploy/run-hardened.sh starts it."""
    name, port = f"mlops-test-{free_port()}", free_port()
    environment = {"DOCKER": docker.program, "IMAGE": image, "NAME": name, "PORT": str(port)}
    command = [
        str(ROOT / "deploy/run-hardened.sh"),
        "--detach",
        "--rm=false",
        f"--add-host={HOST}:host-gateway",
        *options,
    ]
    container = Container(docker, name, f"http://127.0.0.1:{port}")
    try:
        subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
        if ready:
            until(container.is_ready, "the service", container.logs)
        yield container
    finally:
        remove(docker, "container", [name])
