"""How long `mlops run` takes, against the same four notebooks run by bare Papermill; interleaved.

    python benchmarks/pipeline.py --rounds 3
    python benchmarks/pipeline.py --rounds 3 --alone

Bare Papermill runs the notebooks one after another in one process, with no contract check, no record in
MLflow and no KFP. The figures to look at are the ratios of the medians: of wall-clock time and, for a
busy machine, of processor time (user and system, children included). Every round does all of the work:
the step cache is off. With `--alone`, each notebook is run by itself, as on a cluster, against
Papermill in a process of its own.
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
ALONE = "import sys; from mlops_lib import notebooks; notebooks.run(sys.argv[1])"


def main() -> None:
    """Alternate the two and print each time and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="each notebook by itself")
    arguments = parser.parse_args()
    python = sys.executable
    pairs = {"pipeline": {
        "papermill": [python, "-c", BARE, *NOTEBOOKS],
        "mlops": [python, "-m", "mlops_lib.cli.app", "run", "--no-cache"],
    }}  # fmt: skip
    if arguments.alone:
        pairs = {
            name: {"papermill": [python, "-c", BARE, name], "mlops": [python, "-c", ALONE, name]}
            for name in NOTEBOOKS
        }
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "PYTHONPATH": str(ROOT),
        }
        timed([python, "-m", "mlops_lib.cli.app", "models"], environment)  # makes the tables
        taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(1, arguments.rounds + 1):
            for what, commands in pairs.items():
                for who, command in commands.items():
                    wall, cpu = timed(command, environment)
                    taken.setdefault((what, who), []).append((wall, cpu))
                    print(f"round {number}  {what:<12} {who:<10} {wall:6.1f} s  cpu {cpu:6.1f} s", flush=True)
    for index, label in enumerate(("wall", "cpu")):
        for what in pairs:
            mlops, papermill = (
                statistics.median(times[index] for times in taken[what, who])
                for who in ("mlops", "papermill")
            )
            print(f"{what}: mlops / papermill, {label}: {mlops / papermill:.2f}")


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; wall-clock and processor time in seconds."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    after = os.times()
    return time.perf_counter() - began, sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    main()
