"""Memory of the service on one kind of model, for 1 and 4 workers, with one version and with two.

    python benchmarks/serving/kinds.py /tmp/kinds --seconds 1 --rounds 1 --only pyfunc
    python benchmarks/serving/memory.py /tmp/kinds pyfunc

Prints MiB. A process has its memory that is no file, where pages that forks share count in equal parts (`Pss_Anon`), so that
sums are memory. `files` are the mapped libraries and models, each once, however many processes map them: other programs of the
machine change nothing. Two versions: the second one, of the same files, is the challenger. Gateways and models have answered
requests.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from run import BIN, ROOT, ROW  # beside this file

from mlops_lib import config
from mlops_lib.registry import Registry

PORT = 18180
#: In the command of a template, and of the models that it forks.
TEMPLATE = "from serving.isolation import template"
#: One-row requests before memory is read.
REQUESTS = 400


def main() -> None:
    """Start the service four times, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    options = parser.parse_args()
    file = options.folder.resolve() / f"{options.model}.yaml"
    add_second(file, options.model)
    for workers in (1, 4):
        for versions in (1, 2):
            with running(file, workers, "challenger" if versions == 2 else "") as (process, url):
                for _ in range(REQUESTS):
                    post(url)
                wait(lambda n=workers * versions, url=url: loaded(url) == n, "all models are loaded")
                show(f"{workers} workers, {versions} versions", process)


def add_second(file: Path, model: str) -> None:
    """Register a second version of the same run, with the alias of a challenger."""
    import mlflow

    registry, client = Registry(config.load(file)), mlflow.MlflowClient()
    if len(registry.versions(model)) < 2:
        mlflow.register_model(client.get_model_version(model, "1").source, model)
    client.set_registered_model_alias(model, "challenger", "2")


@contextlib.contextmanager
def running(
    file: Path, workers: int = 1, challenger: str = "", **serving: object
) -> Iterator[tuple[psutil.Process, str]]:
    """The service on a model's configuration, ready: its process and its address."""
    content = yaml.safe_load(file.read_text())
    content["serving"] |= {"challenger": challenger, **serving}
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".yaml") as changed:
        yaml.safe_dump(content, changed)
        changed.flush()
        environment = {
            **os.environ,
            "MLOPS_CONFIG": changed.name,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        command = [
            BIN / "uvicorn",
            "--no-access-log",
            "--log-level",
            "warning",
            "--port",
            str(PORT),
            "main:app",
        ]
        process = subprocess.Popen(
            [*map(str, command), "--workers", str(workers)], cwd=ROOT / "serving", env=environment,
            start_new_session=True,
        )  # fmt: skip
        url = f"http://127.0.0.1:{PORT}"
        try:
            wait(lambda: urllib.request.urlopen(f"{url}/readyz", timeout=10).status == 200, "ready")
            yield psutil.Process(process.pid), url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait(condition, what: str) -> None:
    """Wait until a condition holds, for three minutes."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.2)
    raise TimeoutError(what)


def post(url: str) -> None:
    """One request."""
    body = json.dumps({"inputs": [ROW]}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/predict", body)).read()


def loaded(url: str) -> int:
    """Versions that answer, each counted once for each worker."""
    lines = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode().splitlines()
    return sum(line.startswith("mlops_serving_model_up{") and line.endswith(" 1.0") for line in lines)


def processes(service: psutil.Process) -> list[tuple[str, psutil.Process]]:
    """All processes of the service by role: gateways, their templates and models,
    and uvicorn's supervisor."""
    found = []
    for process in (service, *service.children(recursive=True)):
        command = " ".join(process.cmdline())
        above = [parent for parent in process.parents() if parent == service or service in parent.parents()]
        templates = [p for p in (process, *above) if TEMPLATE in " ".join(p.cmdline())]
        if templates:
            # A model is a fork of the template: it has the same command.
            role = "template" if templates[-1] == process else "model"
        elif "resource_tracker" in command or (process == service and "--workers 1" not in command):
            role = "supervisor"
        else:
            role = "gateway"
        found.append((role, process))
    return found


def pss_mib(process: psutil.Process) -> float:
    """The process's proportional set size."""
    return process.memory_full_info().pss / 2**20


def anonymous_mib(process: psutil.Process) -> float:
    """The process's memory that is no file."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    sizes = dict(line.split(":") for line in lines[1:])
    return sum(int(sizes[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem")) / 2**10


def files_mib(processes: Iterable[psutil.Process]) -> float:
    """The files that processes map, each once."""
    largest: dict[str, int] = {}
    for process in processes:
        for part in process.memory_maps(grouped=True):
            if part.path.startswith("/"):
                largest[part.path] = max(largest.get(part.path, 0), part.rss - part.anonymous)
    return sum(largest.values()) / 2**20


def show(title: str, service: psutil.Process) -> None:
    """Print the sum and its parts by role."""
    found = processes(service)
    sizes = [("files", files_mib(process for _, process in found))]
    sizes += [(role, anonymous_mib(process)) for role, process in found]
    print(f"{title}: {sum(size for _, size in sizes):.0f} MiB", flush=True)
    for role in dict.fromkeys(role for role, _ in sizes):
        own = [size for kind, size in sizes if kind == role]
        print(f"  {role:10} {sum(own):6.0f} = " + " + ".join(f"{size:.0f}" for size in own), flush=True)


if __name__ == "__main__":
    main()
