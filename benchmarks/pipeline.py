"""How much the pipeline adds to its notebooks: `mlops run` against bare Papermill, interleaved.

    python benchmarks/pipeline.py --rounds 3

Bare Papermill runs the same four notebooks, one after another in one process, with no contract check, no
record in MLflow and no KFP. The figures to look at are the ratios of the medians: of wall-clock time and,
for a busy machine, of processor time (user and system, children included).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ("01_get_data", "02_train", "03_evaluate", "04_register")
BARE = """
import papermill, sys
for name in sys.argv[1:]:
    papermill.execute_notebook(f"notebooks/{name}.ipynb", None, cwd=".", kernel_name="python3", progress_bar=False)
"""


def main() -> None:
    """Alternate the two and print each time and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    commands = {
        "papermill": [sys.executable, "-c", BARE, *NOTEBOOKS],
        "pipeline": [sys.executable, "-m", "mlops_lib.cli.app", "run"],
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        subprocess.run(
            [sys.executable, "-m", "mlops_lib.cli.app", "models"],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
        for number in range(rounds):
            for name, command in commands.items():
                before, began = os.times(), time.perf_counter()
                subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
                walls[name].append(time.perf_counter() - began)
                after = os.times()
                cpus[name].append(sum(after[2:4]) - sum(before[2:4]))
                print(
                    f"round {number + 1}  {name:<10} {walls[name][-1]:6.1f} s  cpu {cpus[name][-1]:6.1f} s",
                    flush=True,
                )
    for label, times in (("wall", walls), ("cpu", cpus)):
        ratio = statistics.median(times["pipeline"]) / statistics.median(times["papermill"])
        print(f"pipeline / papermill, {label}: {ratio:.2f}")


if __name__ == "__main__":
    main()
