"""From ten real tables to served answers by the command line alone, and how long each takes.

    python benchmarks/real_tables/newcomer.py FOLDER [table ...]

For each table: `mlops init`, `mlops run`, `mlops promote`, `mlops serve`, and one request with the first row of the
source as JSON, nothing left out. FOLDER keeps the downloaded packages and the projects. `churn` is a table of the
user's own: put it at FOLDER/packages/churn.csv. Exit status 1 if a table fails.
"""

import contextlib
import itertools
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tables import TABLES, download

LIMIT_S = 300.0
COLUMNS = [
    "table",
    "rows",
    "columns",
    "init_s",
    "run_s",
    "serve_s",
    "total_s",
    "cpu_s",
    "score",
    "threshold",
    "answer",
]


def mlops(*arguments: str, cwd: Path) -> str:
    """What a command of the platform prints; it must succeed."""
    command = [sys.executable, "-m", "mlops_lib.cli.app", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"mlops {arguments[0]}: exit status {done.returncode}\n{done.stdout[-900:]}{done.stderr[-900:]}"
        )
    return done.stdout


def environment() -> dict[str, str]:
    """The environment of the commands: no setting of another project."""
    unset = ("MLFLOW_", "DATA_", "MLOPS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}


@contextlib.contextmanager
def served(project: Path) -> Iterator[str]:
    """Address of the project's service, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlops_lib.cli.app", "serve", "--port", str(port)]
    with (project / "service.log").open("w") as log:
        service = subprocess.Popen(command, cwd=project, env=environment(), stdout=log, stderr=log)
    try:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and service.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait()


def ask(address: str, row: dict[str, object]) -> str:
    """The first prediction for a raw row."""
    body = json.dumps({"inputs": [row]}).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"the service refused the raw row: {error.read().decode()[:900]}") from None
    classes = f" of {found['classes']}" if "classes" in found else ""
    return f"{json.dumps(found['predictions'])[:40]}{classes}"


def processor_s() -> float:
    """Processor time of all commands that have ended, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_row(file: Path) -> dict[str, object]:
    """The first row of a CSV file as JSON has it."""
    (row,) = json.loads(pd.read_csv(file, nrows=1).to_json(orient="records"))
    return row


def try_table(name: str, file: Path, folder: Path) -> list[str]:
    """Take one table all the way; the figures in the order of `COLUMNS`."""
    project = folder / "projects" / name
    shutil.rmtree(project, ignore_errors=True)
    project.parent.mkdir(parents=True, exist_ok=True)
    header = list(pd.read_csv(file, nrows=0).columns)
    rows = sum(1 for _ in file.open("rb")) - 1
    marks, cpu = [time.monotonic()], processor_s()
    options = ("--label", TABLES[name].label, "--missing-label", "drop")
    mlops("init", name, "--source", str(file), *options, cwd=project.parent)
    marks.append(time.monotonic())
    said = mlops("run", cwd=project)
    mlops("promote", name, "1", cwd=project)
    marks.append(time.monotonic())
    with served(project) as address:
        answer = ask(address, first_row(file))
    marks.append(time.monotonic())
    took = [f"{after - before:.1f}" for before, after in itertools.pairwise(marks)]
    score = re.search(r"score\s+(\w+ -?[\d.]+)", said)
    threshold = mlops("config", "--get", "evaluation.threshold", cwd=project).strip()
    total = f"{marks[-1] - marks[0]:.1f}", f"{processor_s() - cpu:.1f}"
    return [name, str(rows), str(len(header)), *took, *total, score[1] if score else "?", threshold, answer]


def main(folder: Path, names: list[str]) -> None:
    """Try each table and print a line for it."""
    folder = folder.resolve()
    download(folder / "packages")
    print("\t".join(COLUMNS), flush=True)
    failed = False
    for name in names:
        try:
            print("\t".join(try_table(name, folder / "packages" / TABLES[name].file, folder)), flush=True)
        except (RuntimeError, OSError) as error:
            failed = True
            print(f"{name}\tfailed: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(TABLES))
