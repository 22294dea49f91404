"""Compare the service's time to its first answer with the time to import the libraries and load the model.

    python benchmarks/serving/make_model.py /tmp/bench
    python benchmarks/serving/start.py /tmp/bench --rounds 5

`floor` is a process that imports mlflow and torch and loads the same network from its files. Both
run in turn with files in the page cache; the ratio is of medians. Processor time is printed too: a
busy machine changes it least.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from run import BIN, ROOT, ROW, processor_s, pt2_of  # beside this file

FLOOR = (
    "import sys, mlflow, torch; torch.export.load(sys.argv[1]).module(); print('ready', flush=True); input()"
)
PORT = 18190


def main() -> None:
    """Start each in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="small")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = options.folder.resolve()
    environment = {
        **os.environ,
        "MLOPS_CONFIG": str(folder / f"{options.model}.yaml"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    network = pt2_of(folder, options.model)
    commands = {
        "floor": [sys.executable, "-c", FLOOR, network],
        "mlops": [str(BIN / "uvicorn"), "--log-level", "warning", "--port", str(PORT), "main:app"],
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(options.rounds + 1):
        for name, command in commands.items():
            took = start(command, environment, wait_for_line if name == "floor" else wait_for_answer)
            print(f"{name} {took[0]:.1f} s, {took[1]:.1f} s of processor time", flush=True)
            if number:  # the first fills the page cache
                seen[name].append(took)
    middle = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()
    }
    for name, (wall_s, cpu_s) in middle.items():
        print(f"{name:8}{wall_s:7.2f} s{cpu_s:7.2f} s of processor time")
    ratios = [mlops / floor for mlops, floor in zip(middle["mlops"], middle["floor"], strict=True)]
    print(f"mlops / floor: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} of processor time")


def start(
    command: list[str], environment: dict[str, str], until: Callable[[subprocess.Popen], None]
) -> tuple[float, float]:
    """Return the seconds, and the seconds of processor time, until the process is ready."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT / "serving", env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(process)
        return time.perf_counter() - began, processor_s(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for_line(process: subprocess.Popen) -> None:
    """Wait until the process prints that it is ready."""
    assert process.stdout.readline() == b"ready\n"


def wait_for_answer(process: subprocess.Popen) -> None:
    """Wait until the service is ready and has answered the request."""
    url = f"http://127.0.0.1:{PORT}"
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=10).close()
            urllib.request.urlopen(f"{url}/predict", json.dumps({"inputs": [ROW]}).encode()).close()
            return
        except OSError:  # not listening yet, or not ready
            time.sleep(0.05)
    raise AssertionError("the service did not start")


if __name__ == "__main__":
    main()
