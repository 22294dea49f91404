"""An MLflow server on the host for containers, and the service in a container as deploy/run-hardened.sh starts it."""

import ipaddress
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.containers.engine import Docker, remove
from tests.support import servers
from tests.support.servers import free_port
from tests.support.shop import answer_to
from tests.support.waiting import until

#: The host's name inside a container.
HOST = "host.docker.internal"


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
    names = ("--allowed-hosts", f"{HOST}:{port},{address}:{port}")
    store, artifacts = f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts"
    with servers.mlflow_server(store, artifacts, *names, proxy=True, host=address, port=port) as outside:
        yield outside, f"http://{HOST}:{port}"


def _gateway(docker: Docker) -> str:
    """The engine's address on its bridge; a bridge made just now has only a subnet, whose first address it is."""
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
        """Whether /readyz is 200; an AssertionError once the container has ended."""
        assert self.state("Running") == "true", self.logs()
        return ask(f"{self.url}/readyz")[0] == 200

    def logs(self) -> str:
        """Its output."""
        return self.docker("logs", self.name, check=False)

    def shell(self, command: str) -> str:
        """Output of a shell command inside, failed or not."""
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
