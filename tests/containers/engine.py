"""A container engine for the tests: the one that answers, else Debian's, started here and stopped after them."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import install
from tests.support.waiting import LIMIT_S, until

#: Enough for several copies of both images.
STORE_GIB = 6
NO_ENGINE = (
    "These tests need a container engine: `docker info` gets no answer, and they install and start one only as root "
    "on a Debian without systemd, such as a container or a CI machine. "
    "Start Docker, or leave them out with: -m 'not containers'"
)


class EngineError(Exception):
    """There is no container engine, and none can be installed."""


class Docker:
    """The docker command line."""

    def __init__(self) -> None:
        # Debian's client 20.10 builds with BuildKit by itself, later ones only with their buildx plugin.
        found = dict.fromkeys(
            p for p in (shutil.which("docker"), "/usr/bin/docker") if p and Path(p).exists()
        )
        self.program = next(filter(_has_buildkit, found), next(iter(found), "docker"))
        self.buildkit = bool(found) and _has_buildkit(self.program)
        #: Whether the tests started it, with a store that is removed when they end.
        self.own = False

    def __call__(self, *arguments: str, check: bool = True, timeout_s: float = LIMIT_S) -> str:
        """Run a command and return its output, both streams, stripped."""
        done = subprocess.run(
            [self.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout[-6000:]}"
        return done.stdout.strip()

    def answers(self) -> bool:
        """Whether an engine answers."""
        try:
            done = subprocess.run([self.program, "info"], capture_output=True, timeout=LIMIT_S, check=False)
        except OSError:
            return False
        return done.returncode == 0 and b"ERROR:" not in done.stdout + done.stderr

    def build(self, folder: Path, file: str, tag: str, *options: str) -> str:
        """Build an image from a folder and return the build's output."""
        done = subprocess.run(
            [self.program, "build", "-f", file, "-t", tag, *options, "."], cwd=folder,
            env={**os.environ, "DOCKER_BUILDKIT": str(int(self.buildkit)), "BUILDKIT_PROGRESS": "plain"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"building {tag}:\n{done.stdout[-6000:]}"
        return done.stdout

    def layers(self, image: str) -> list[str]:
        """Digests of an image's layers, the lowest first."""
        return self("image", "inspect", "--format", '{{join .RootFS.Layers " "}}', image).split()


@contextmanager
def running() -> Iterator[Docker]:
    """An engine that answers; stopped afterwards if it was started here.

    Raises:
        EngineError: There is none, and none can be installed.
    """
    docker = Docker()
    if docker.answers():
        yield docker
        return
    # Only a throw-away machine, without systemd, gets a daemon: another one might have its own, stopped.
    not_ours = "DOCKER_HOST" in os.environ or Path("/run/systemd/system").exists()
    if not_ours or os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineError(NO_ENGINE)
    install("docker.io", "iptables")
    docker = Docker()
    docker.own = True
    with (
        _alone(),
        tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder,
        _in_memory(folder),
        _daemon(docker, Path(folder)),
    ):
        yield docker


@contextmanager
def _alone() -> Iterator[None]:
    """Let one test session at a time have a daemon: two would change the same bridge and firewall rules."""
    with open("/tmp/.test-engine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _in_memory(folder: str) -> Iterator[None]:
    """Keep the folder in memory if there is enough: each step of a build writes its whole layer."""
    meminfo = Path("/proc/meminfo").read_text()
    free_kib = meminfo.partition("MemAvailable:")[2].split()[0]
    plenty = int(free_kib) > 1.5 * STORE_GIB * 2**20
    if plenty:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STORE_GIB}g", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        if plenty:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def _daemon(docker: Docker, folder: Path) -> Iterator[None]:
    """Debian's dockerd, with a socket and a store of its own in `folder`."""
    log = folder / "dockerd.log"
    socket = f"unix://{folder}/docker.sock"
    command = [
        "/usr/sbin/dockerd", "--host", socket, "--mtu", str(_mtu()),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
    ]  # fmt: skip
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = socket
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        until(lambda: docker.answers() or process.poll() is not None, "dockerd answers", log.read_text)
        if process.poll() is not None:
            raise EngineError(f"dockerd does not start here. The end of its log:\n{log.read_text()[-2000:]}")
        yield
    finally:
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _mtu() -> int:
    """Packet size of the default route; with a larger one on the bridge, downloads hang."""
    routes = [line.split() for line in Path("/proc/net/route").read_text().splitlines()]
    outside = next((name for name, target, *_ in routes if target == "00000000"), "lo")
    return min(1500, int(Path(f"/sys/class/net/{outside}/mtu").read_text()))


def _has_buildkit(program: str) -> bool:
    def says(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    return bool(says("buildx", "version")) or " version 20." in says("--version")


def remove(docker: Docker, kind: str, names: list[str], **options: Any) -> None:
    """Remove containers or images that may be gone already."""
    if names:
        docker(kind, "rm", "--force", *names, check=False, **options)
