"""Compare the service in front of an LLM vendor with a hand-written proxy,
LiteLLM's proxy and LangGraph alone.

    python -m benchmarks.llm_gateway /tmp/llm --litellm /tmp/litellm --rounds 3

The upstream is a fast server of OpenAI's protocol that answers after 50 ms, or streams 20 pieces from then
on. Each measured server is one worker on core 0; upstream and load generator are on core 1. Each round
asks every server at each concurrency, so that other load on the machine affects all alike; the tables have
medians over rounds. `cpu ms` is the processor time of the server and its children (the model's process)
for a request, which a busy machine changes least; `first ms` the time to the first token. The service
counts tokens and money against `serving.budget`, masks secrets and gives request ids; `traced` writes a
trace of each answer to MLflow too. `--litellm` is a virtual environment with ``litellm[proxy]``; without
one it is left out with a message.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.llm import models

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent / "llm"
UPSTREAM_PORT = 18290
PYTHON = sys.executable
QUESTION = "What is the capital of France, and why?"
CHAT = {"model": "gpt-bench", "messages": [{"role": "user", "content": QUESTION}]}
#: LiteLLM does not start without one. The others take no notice of it.
KEY = "sk-benchmark-of-any-use"
EVENTS = {"accept": "text/event-stream"}
#: How a server is asked -> path, body, headers. `{name}` is the name of the model.
WAYS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "chat": ("/v1/chat/completions", CHAT, {}),
    "chat stream": ("/v1/chat/completions", {**CHAT, "stream": True}, {}),
    "invoke": ("/invoke", {"inputs": [{"question": QUESTION}]}, {}),
    "invoke stream": ("/invoke", {"inputs": [{"question": QUESTION}]}, EVENTS),
}
CHATS = ("chat", "chat stream")
#: Ratios that are printed: ours / the other.
PAIRS = (
    ("llm", "proxy"), ("traced", "proxy"), ("llm", "litellm"), ("graph", "langgraph"), ("llm", "upstream"), ("llm", "beside"),
)  # fmt: skip


@dataclass
class Server:
    """A server: its command without the port, and the ways it is asked."""

    name: str
    command: list[str]
    ways: tuple[str, ...] = CHATS
    folder: Path = HERE
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0


class Figures(NamedTuple):
    """Of one run: requests/s, ms to the first token, 99th percentile in ms,
    processor time of a request in ms, failures."""

    rate: float
    first_ms: float
    p99_ms: float
    cpu_ms: float
    failures: int


def uvicorn(app: str) -> list[str]:
    """The command of an application."""
    return [
        PYTHON, "-m", "uvicorn", "--no-access-log", "--no-server-header", "--log-level", "warning", app, "--port",
    ]  # fmt: skip


def service(folder: Path, name: str, model: str, code: Path = ROOT) -> Server:
    """This service, or that of another checkout, with one of the models."""
    environment = {"MLOPS_CONFIG": str(folder / f"{model}.yaml"), "PYTHONPATH": str(code)}
    return Server(name, uvicorn("main:app"), tuple(WAYS), code / "serving", environment)


def servers(folder: Path, litellm: Path, beside: Path | None) -> list[Server]:
    """All servers that are installed."""
    found = [
        Server("upstream", [PYTHON, "upstream.py"]),
        Server("proxy", uvicorn("proxy:app")),
        Server("langgraph", uvicorn("bare_graph:app")),
        *(service(folder, name, name) for name in models.MODELS),
    ]
    if beside:
        found.append(service(folder, "beside", "llm", beside.resolve()))
    if (command := litellm / "bin/litellm").exists():
        settings = folder / "litellm.yaml"
        params = {
            "model": "openai/gpt-bench",
            "api_base": f"http://127.0.0.1:{UPSTREAM_PORT}/v1",
            "api_key": "none",
        }
        settings.write_text(
            json.dumps({"model_list": [{"model_name": "gpt-bench", "litellm_params": params}]})
        )
        options = ["--config", str(settings), "--host", "127.0.0.1", "--telemetry", "False", "--port"]
        found.append(
            Server(
                "litellm",
                [str(command), *options],
                environment={"LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY},
            )
        )
    else:
        print(f"litellm is left out: {litellm} has no bin/litellm. Make it with: uv venv {litellm}, and then "
              f"uv pip install --python {litellm}/bin/python 'litellm[proxy]'")  # fmt: skip
    for number, server in enumerate(found):
        server.port = UPSTREAM_PORT + number  # the upstream is the first, and is asked directly too
    return found


def main() -> None:
    """Start the servers, measure them in turn, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the models; made on the first run")
    parser.add_argument("--litellm", type=Path, default=Path("/tmp/litellm"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--only", default="", help="names, with commas between them")
    parser.add_argument("--ways", default=",".join(WAYS), help="ways to ask, with commas between them")
    parser.add_argument("--beside", type=Path, help="another checkout of this repository, to compare with")
    options = parser.parse_args()
    folder, ways = options.folder.resolve(), options.ways.split(",")
    only = {"upstream", *options.only.split(",")} if options.only else set()
    found = servers(folder, options.litellm, options.beside)
    chosen = [server for server in found if not only or server.name in only]
    environment = {
        **os.environ, "OPENAI_BASE_URL": f"http://127.0.0.1:{UPSTREAM_PORT}/v1", "OPENAI_API_KEY": "none-of-any-use",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    os.environ["OPENAI_BASE_URL"] = environment["OPENAI_BASE_URL"]
    wanted = {server.name for server in chosen} & models.MODELS.keys()
    models.make(folder, sorted(wanted | ({"llm"} if options.beside else set())))
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as running:
        pids = {s.name: running.enter_context(started(s, environment, Path(temporary))) for s in chosen}
        for server in chosen:
            wait_for(server, pids[server.name], Path(temporary))
        seen = measure(chosen, pids, ways, options)
    for way in ways:
        report(way, seen, options.concurrency)


@contextlib.contextmanager
def started(server: Server, environment: dict[str, str], logs: Path):
    """Run a server on its core; gives its process id."""
    core = "1" if server.name == "upstream" else "0"
    with (logs / server.name).open("w") as log:
        process = subprocess.Popen(
            ["taskset", "-c", core, *server.command, str(server.port)], cwd=server.folder, start_new_session=True,
            env={**environment, **server.environment}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(server: Server, pid: int, logs: Path) -> None:
    """Wait until a server answers a chat."""
    path, body, _ = WAYS["chat"]
    url, deadline = f"http://127.0.0.1:{server.port}{path}", time.monotonic() + 240
    content = json.dumps({**body, "model": model_of(server)}).encode()
    while time.monotonic() < deadline and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        try:
            request = urllib.request.Request(
                url, content, {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
            )
            urllib.request.urlopen(request, timeout=10).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{server.name} does not answer:\n{(logs / server.name).read_text()[-3000:]}")


def model_of(server: Server) -> str:
    """The name of the model that a server has."""
    if server.name == "beside":
        return "llm"
    return server.name if server.name in models.MODELS else "gpt-bench"


def measure(chosen: list[Server], pids: dict[str, int], ways: list[str], options: argparse.Namespace) -> dict:
    """(way, name, concurrency) -> figures of each round."""
    seen: dict = {}
    for _ in range(options.rounds):
        for way in ways:
            for concurrency in options.concurrency:
                for server in (each for each in chosen if way in each.ways):
                    figures = ask(server, pids[server.name], way, concurrency, options.seconds)
                    seen.setdefault((way, server.name, concurrency), []).append(figures)
                    print(".", end="", flush=True)
    print()
    return seen


def ask(server: Server, pid: int, way: str, concurrency: int, seconds: float) -> Figures:
    """Ask one server in one way."""
    path, body, headers = WAYS[way]
    if "messages" in body:
        body = {**body, "model": model_of(server)}
    wanted = {
        "port": server.port, "path": path, "body": json.dumps(body), "headers": {**headers, "authorization": f"Bearer {KEY}"}, "concurrency": concurrency,
        "seconds": seconds, "first": "word0 ", "last": "word19 ",
    }  # fmt: skip
    before = processor_s(pid)
    command = ["taskset", "-c", "1", PYTHON, str(HERE / "ask.py"), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{server.name}, {way}, {concurrency}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    cpu_ms = (processor_s(pid) - before) * 1e3 / (found["requests"] or float("nan"))
    return Figures(found["rate"], found["first_ms"], found["p99_ms"], cpu_ms, found["failures"])


def processor_s(pid: int) -> float:
    """The processor time of a process and its children, in seconds."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def median(values: Iterable[float]) -> float:
    """The median of the numbers there are; a server that gave no answer in a round has none."""
    found = [value for value in values if not math.isnan(value)]
    return statistics.median(found) if found else float("nan")


def report(way: str, seen: dict, concurrencies: list[int]) -> None:
    """Print the table of one way to ask, and ratios."""
    rows = {(name, c): figures for (each, name, c), figures in seen.items() if each == way}
    if not rows:
        return
    middle = {
        key: Figures(*(median(column) for column in zip(*figures, strict=True)))
        for key, figures in rows.items()
    }
    names = list(dict.fromkeys(name for name, _ in rows))
    heads = "".join(f"{f'c={c}: req/s':>14}{'first ms':>10}{'p99 ms':>9}{'cpu ms':>8}" for c in concurrencies)
    print(f"\n{way:11}{heads}")
    for name in names:
        cells = [middle[name, c] for c in concurrencies]
        line = "".join(f"{f.rate:14.1f}{f.first_ms:10.1f}{f.p99_ms:9.0f}{f.cpu_ms:8.2f}" for f in cells)
        failed = sum(figures.failures for c in concurrencies for figures in rows[name, c])
        print(f"{name:11}{line}" + (f"  {failed} failures" if failed else ""))
    for ours, other in PAIRS:
        if ours not in names or other not in names:
            continue
        cells = []
        for c in concurrencies:
            both = list(zip(rows[ours, c], rows[other, c], strict=True))
            rate = median(a.rate / b.rate for a, b in both if b.rate)
            cpu = median(a.cpu_ms / b.cpu_ms for a, b in both if b.cpu_ms)
            later = median(a.first_ms - b.first_ms for a, b in both)
            cells.append(f"{rate:6.2f} req/s {cpu:5.2f} cpu {later:+6.1f} ms first")
        print(f"{ours} / {other}: " + " | ".join(cells))


if __name__ == "__main__":
    main()
