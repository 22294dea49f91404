"""Compare this service with others: same weights, same one-row JSON request, one interleaved run.

    python benchmarks/serving/make_model.py /tmp/bench
    python benchmarks/serving/run.py /tmp/bench --peers /tmp/peers --rounds 3

Every server is one worker on core 0, the load generator (`wrk`, from Debian) is on core 1. Each round asks
every server at each concurrency, so that other load on the machine affects all alike; the table has medians
over rounds. Compare ratios, because hosts differ. `cpu us` is the server's processor time for a request
(children included), which a busy machine changes least. PEERS/<name> is a virtual environment made from
requirements-<name>.txt; a peer without one is left out with a message.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import contextlib

from make_model import FEATURES  # beside this file

BIN = Path(sys.executable).parent
ROW = {name: 1.5 + at for at, name in enumerate(FEATURES)}
TENSOR = {"name": "x", "shape": [1, len(ROW)], "datatype": "FP32", "data": list(ROW.values())}
CONCURRENCIES = (1, 32, 128)


@dataclass
class Server:
    """A server: its command and its request. The body is JSON unless it is bytes."""

    name: str
    command: Callable[[int], list[str]]
    path: str = "/predict"
    body: dict | bytes | None = None
    content_type: str = "application/json"
    folder: Path = SERVERS
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> bytes:
        """The body of a request."""
        body = self.body or {"inputs": [ROW]}
        return body if isinstance(body, bytes) else json.dumps(body).encode()


class Figures(NamedTuple):
    """Of one run of wrk: requests/s, latencies in ms, processor time of the server in us a request,
    answers that failed."""

    rate: float
    median_ms: float
    p99_ms: float
    cpu_us: float
    failures: int


def uvicorn(app: str, *options: str) -> Callable[[int], list[str]]:
    """Return the command of an application for a port."""
    command = [str(BIN / "uvicorn"), "--no-access-log", "--no-server-header", "--log-level", "warning"]
    return lambda port: [*command, *options, "--port", str(port), app]


def mlflow_serve(model: str) -> Callable[[int], list[str]]:
    """Return the command of MLflow's own server for a port."""
    options = ["--env-manager", "local", "--workers", "1", "-m", f"models:/{model}/1"]
    return lambda port: [str(BIN / "mlflow"), "models", "serve", *options, "--port", str(port)]


def mlops(name: str, row: dict | None = None, code: Path = ROOT, **environment: str) -> Server:
    """Return this service, or that of another checkout."""
    body = {"inputs": [row]} if row else None
    environment["PYTHONPATH"] = f"{code}:{SERVERS}"
    return Server(name, uvicorn("main:app"), body=body, folder=code / "serving", environment=environment)


def servers(peers: Path, model: str, folder: Path, files: Path, beside: Path | None) -> list[Server]:
    """Return all servers that are installed."""
    found = [
        Server("floor", uvicorn("floor:app", "--lifespan", "off")),
        Server("plain", uvicorn("plain:app")),
        mlops("mlops"),
        Server("mlflow", mlflow_serve(model), "/invocations", {"dataframe_records": [ROW]}, folder),
    ]
    if beside:
        found.append(mlops("beside", code=beside.resolve()))
    if (python := peers / "litserve/bin/python").exists():
        found.append(Server("litserve", lambda port: [str(python), "litserve_app.py"]))
    if (bentoml := peers / "bentoml/bin/bentoml").exists():
        found.append(
            Server(
                "bentoml", lambda port: [str(bentoml), "serve", "bentoml_app:Service", "--port", str(port)]
            )
        )
    if (mlserver := peers / "mlserver/bin/mlserver").exists():
        found.append(Server("mlserver", lambda port: [str(mlserver), "start", str(mlserver_folder(files, port))],
                            "/v2/models/bench/infer", {"inputs": [TENSOR]}))  # fmt: skip
    return found


def mlserver_folder(files: Path, port: int) -> Path:
    """Write MLServer's settings."""
    folder = files / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {
        "http_port": port,
        "grpc_port": port + 1000,
        "metrics_port": port + 2000,
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "bench",
        "implementation": "mlserver_app.Runtime",
        "max_batch_size": 32,
        "max_batch_time": 0.001,
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    return folder


def main() -> None:
    """Start all servers, measure them in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--model", default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument("--beside", type=Path, help="another checkout of this repository, to compare with")
    options = parser.parse_args()
    folder = options.folder.resolve()
    environment = {
        "FEATURES": ",".join(FEATURES),
        "MODEL": pt2_of(folder, options.model),
        "MLOPS_CONFIG": str(folder / f"{options.model}.yaml"),
        "BENTOML_DO_NOT_TRACK": "1",
    }
    only = options.only.split(",") if options.only else []
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary)
        found = servers(options.peers, options.model, folder, files, options.beside)
        chosen = [server for server in found if not only or server.name in only]
        report(compare(chosen, folder, environment, files, options.rounds, options.seconds), "mlops")


def compare(
    chosen: list[Server],
    folder: Path,
    environment: dict[str, str],
    files: Path,
    rounds: int,
    seconds: int,
    concurrencies: Sequence[int] = CONCURRENCIES,
) -> dict:
    """Start servers, measure them in turn and stop them; see `measure`."""
    common = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PATH": f"{BIN}:{os.environ['PATH']}",  # MLflow starts `uvicorn` by name
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}:{SERVERS}",
        **environment,
    }
    processes, running = [], []
    try:
        for number, server in enumerate(chosen):
            port = 18200 + number
            log = files / f"{server.name}.log"
            with log.open("w") as stream:
                processes.append(subprocess.Popen(
                    ["taskset", "-c", "0", *server.command(port)], cwd=server.folder, start_new_session=True,
                    env={**common, "PORT": str(port), **server.environment}, stdout=stream, stderr=stream,
                ))  # fmt: skip
            if answers(server, port, processes[-1]):
                running.append((server, port, processes[-1].pid))
            else:
                print(f"{server.name} did not start:\n{log.read_text()[-1500:]}")
        return measure(running, files, rounds, seconds, concurrencies)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def pt2_of(folder: Path, model: str) -> str:
    """Return the exported network of a model's first version: all servers load the same weights."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    return str(next(Path(mlflow.artifacts.download_artifacts(f"models:/{model}/1")).rglob("*.pt2")))


def answers(server: Server, port: int, process: subprocess.Popen) -> bool:
    """Return whether the server answers the request within three minutes."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{server.path}", server.sent, {"Content-Type": server.content_type}
    )
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(request, timeout=10).read()
            return True
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.5)
    return False


def measure(running: list, files: Path, rounds: int, seconds: int, concurrencies: Sequence[int]) -> dict:
    """Return (name, concurrency) -> figures of each round."""
    seen: dict = {}
    for _ in range(rounds):
        for concurrency in concurrencies:
            for server, port, pid in running:
                figures = ask(server, port, pid, concurrency, seconds, files)
                seen.setdefault((server.name, concurrency), []).append(figures)
                print(".", end="", flush=True)
    print()
    return seen


def ask(server: Server, port: int, pid: int, concurrency: int, seconds: int, files: Path) -> Figures:
    """Run wrk once."""
    body, script = files / f"{server.name}.body", files / f"{server.name}.lua"
    body.write_bytes(server.sent)
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = io.open('{body}', 'rb'):read('*a')\n"
        f"wrk.headers['Content-Type'] = '{server.content_type}'\n"
    )
    before = processor_s(pid)
    out = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--latency", "--timeout", "20s",
         "-s", str(script), f"http://127.0.0.1:{port}{server.path}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    spent = processor_s(pid) - before
    number = int(re.search(r"(\d+) requests in", out)[1])
    failures = int(found[1]) if (found := re.search(r"Non-2xx or 3xx responses: (\d+)", out)) else 0
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return Figures(rate, latency_ms(out, 50), latency_ms(out, 99), spent / max(number, 1) * 1e6, failures)


def latency_ms(out: str, percentile: int) -> float:
    """Return a percentile that wrk has printed."""
    number, unit = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s|m)", out).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def processor_s(pid: int) -> float:
    """Return the processor time of a process and its children, in seconds."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def medians(seen: dict) -> dict:
    """Return (name, concurrency) -> the median of each figure over the rounds."""
    return {
        key: Figures(*(statistics.median(column) for column in zip(*rows, strict=True)))
        for key, rows in seen.items()
    }


def report(seen: dict, first: str) -> None:
    """Print the table, and the ratios of the server `first` to the others."""
    middle = medians(seen)
    names, concurrencies = (list(dict.fromkeys(column)) for column in zip(*middle, strict=True))
    print(f"{'':10}" + "".join(f"{f'c={c}: req/s':>14}{'p99 ms':>9}{'cpu us':>8}" for c in concurrencies))
    for name in names:
        cells = [middle[name, c] for c in concurrencies]
        print(f"{name:10}" + "".join(f"{f.rate:14.0f}{f.p99_ms:9.1f}{f.cpu_us:8.0f}" for f in cells))
        if failed := sum(row.failures for c in concurrencies for row in seen[name, c]):
            print(f"{'':10}{failed} answers were not 2xx")
    for other in names if first in names else ():
        if other != first:
            ratios = [
                statistics.median(
                    a.rate / b.rate for a, b in zip(seen[first, c], seen[other, c], strict=True)
                )
                for c in concurrencies
            ]
            tails = [middle[first, c].p99_ms / middle[other, c].p99_ms for c in concurrencies]
            print(f"{first} / {other:10} req/s " + "  ".join(f"{r:6.2f}" for r in ratios)
                  + "   p99 " + "  ".join(f"{t:5.2f}" for t in tails))  # fmt: skip


if __name__ == "__main__":
    main()
