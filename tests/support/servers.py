"""Real Redis, PostgreSQL and MLflow servers, started for the tests and stopped after them."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import until

PASSWORD = "s3cr3t-p4ss"


_given: set[int] = set()
#: This process locks the byte of each port that it was given, so that no other test process gets it.
_LOCKS = (Path(tempfile.gettempdir()) / f".test-ports-{os.getuid()}").open("a")


def free_port() -> int:
    """A free port that no other test gets.

    It is below the kernel's own range: a client that polls a port of that range can connect to itself.
    """
    while True:
        port = secrets.choice(range(15_000, 30_000))  # `random` has a seed once a model was trained
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                fcntl.lockf(_LOCKS, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


@contextmanager
def redis_server(port: int = 0) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Port (a free one by default) and process of an empty Redis that keeps nothing on disk."""
    program = _program("redis-server", "redis-server", "/usr/bin/redis-server")
    port = port or free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield port, process
    finally:
        process.kill()
        process.wait()


@contextmanager
def black_hole(port: int) -> Iterator[list[socket.socket]]:
    """A TCP server that accepts and never answers. Gives its connections, which stay open after it."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port)) as listening:

        def accept() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield held
        finally:
            listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def postgres_server() -> Iterator[int]:
    """Port of an empty PostgreSQL; user, password and database are postgres, `PASSWORD`, postgres."""
    initdb = Path(_program("initdb", "postgresql", "/usr/lib/postgresql/*/bin/initdb")).resolve()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    secret = folder / "password"
    secret.write_text(PASSWORD)
    # PostgreSQL refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")
    data, port = folder / "data", free_port()
    options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-N"]
    subprocess.run([*as_user, initdb, "-D", data, *options], check=True, stdout=subprocess.DEVNULL, cwd="/")
    command = [*as_user, initdb.with_name("postgres"), "-D", data, "-p", str(port), "-k", folder, "-F"]
    process = subprocess.Popen([*command, "-h", "127.0.0.1"], stderr=subprocess.DEVNULL, cwd="/")
    try:
        _wait(port, process)
        _wait_until_ready(data / "postmaster.pid")
        yield port
    finally:
        pid = (data / "postmaster.pid").read_text().split()[0]
        subprocess.run(["kill", "-INT", pid], check=True)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(
    store: str, artifacts: str, *options: str, proxy: bool = False, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    """Address of an MLflow server that keeps runs in `store`.

    Args:
        artifacts: Where artifacts go: by way of the server with `proxy`, else straight from its clients.
        port: A free one by default.
    """
    port = port or free_port()
    kept = ["--artifacts-destination", artifacts] if proxy else ["--no-serve-artifacts"]
    kept += [] if proxy else ["--default-artifact-root", artifacts]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1",
        "--backend-store-uri", store, *kept, *options,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(port, process, host)
        yield f"http://{host}:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _program(name: str, package: str, pattern: str) -> str:
    """Path of a server's program; Debian's package is installed when there is none."""
    if not (found := _find(name, pattern)):
        install(package)
        found = _find(name, pattern)
    assert found, f"no {name} here, and Debian's package {package} did not bring it"
    return found


def install(*packages: str) -> None:
    """Install Debian packages that are missing; one test process at a time, since apt has one lock."""
    with open("/tmp/.install-servers.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asked = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}\n", *packages]
        status = subprocess.run(asked, capture_output=True, text=True, check=False)
        if status.returncode == 0 and set(status.stdout.split()) == {"installed"}:
            return
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # An installation that was killed would be in the way.
        subprocess.run(["dpkg", "--configure", "-a"], check=True, env=environment)
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-remove", "--no-install-recommends", *packages]
        subprocess.run(command, check=True, env=environment)


def _find(name: str, pattern: str) -> str:
    paths = sorted(map(str, Path("/").glob(pattern.lstrip("/"))))
    return shutil.which(name) or (paths[-1] if paths else "")


def _wait(port: int, process: "subprocess.Popen[bytes]", host: str = "127.0.0.1") -> None:
    """Wait until the server accepts connections."""

    def listens() -> bool:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        socket.create_connection((host, port), 1).close()
        return True

    until(listens, f"a server listens on port {port}")


def _wait_until_ready(postmaster: Path) -> None:
    """PostgreSQL accepts connections before it answers; like pg_ctl, read the last line of its status file."""
    until(lambda: postmaster.read_text().split()[-1:] == ["ready"], "PostgreSQL is ready")
