"""From ten real tables to served answers by the command line alone: how long it takes, and whether all answers are equal.

Examples:
    python benchmarks/real_tables/newcomer.py /tmp/tables                      all tables with `auto`
    python benchmarks/real_tables/newcomer.py /tmp/tables oj wage --network    two of them with the network

For each table: `mlops init`, `mlops run`, `mlops promote`, `mlops serve`, and one request with the first row of the
source as JSON. Then all test rows go to the service as raw rows, and as a DataFrame to `mlflow.pyfunc.load_model` in a
process without the platform. Both must give the predictions of 03_evaluate to the last bit. `churn` is a table of the
user's own: put it at FOLDER/packages/churn.csv. Exit status 1 if a table fails or answers differ.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tables import TABLES, download

from mlops_lib import config, loaders
from mlops_lib.training import rows_file
from mlops_lib.training.judged_rows import row_digests

LIMIT_S = 300.0
ROWS_OF_REQUEST = 500
NETWORK = ("--set", "model.wrapper=lightning", "--set", "model.implementation=tabular")
COLUMNS = ["table", "rows", "kinds", "score", "baseline", "gate", "answer_s", "cpu_s", "served", "pyfunc"]
#: Run outside the platform: folder of the model, file of raw rows, file for the predictions.
PYFUNC = """
import sys
sys.modules["mlops_lib"] = None
import mlflow, numpy, pandas
model, rows, found = sys.argv[1:]
numpy.save(found, numpy.asarray(mlflow.pyfunc.load_model(model).predict(pandas.read_pickle(rows))))
"""


def run(command: list[str], cwd: Path) -> None:
    """Run a command; it must succeed."""
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        what = " ".join(command[1:4])
        raise RuntimeError(f"{what}: exit status {done.returncode}\n{done.stdout[-900:]}{done.stderr[-900:]}")


def mlops(*arguments: str, cwd: Path) -> None:
    """Run a command of the platform."""
    run([sys.executable, "-m", "mlops_lib.cli.app", *arguments], cwd)


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


def ask(address: str, rows: list[dict[str, Any]]) -> list[Any]:
    """The predictions for raw rows."""
    body = json.dumps({"inputs": rows}).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return list(json.load(answer)["predictions"])
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"the service refused a raw row: {error.read().decode()[:900]}") from None


def read(file: Path) -> pd.DataFrame:
    """The rows as written: `NA` is a text where the column is text, and no bit of a number is rounded."""
    frame = pd.read_csv(file, float_precision="round_trip")
    written = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""])
    texts = [name for name in frame if frame[name].dtype == object]
    return frame.assign(**{name: written[name] for name in texts})


def as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: a gap is null."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def processor_s() -> float:
    """Processor time of all commands that have ended, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_rows(project: Path, source: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of the source that are in the test split, and the predictions that 03_evaluate judged."""
    (written,) = project.glob(".mlops/runs/*/*/get-data/data/test.parquet")
    (judged,) = project.glob(".mlops/artifacts/*/artifacts/evaluation/test/rows-*.parquet")
    settings = config.load(project / "config.yaml")
    frame = loaders.from_settings(settings).source_frame()
    types = loaders.prepared(settings, written.parent).load("test").dtypes
    frame = frame.loc[frame[settings.data.label].notna(), types.index].astype(types)
    digests = row_digests(frame)
    places = {f"{digest:016x}": place for place, digest in zip(frame.index, digests, strict=True)}
    rows = rows_file.read(judged)
    return source.iloc[[places[one] for one in rows.ids]], np.asarray(rows.predicted)


def outside(project: Path, rows: pd.DataFrame) -> np.ndarray:
    """The predictions of `mlflow.pyfunc.load_model`, where the platform cannot be imported."""
    (model,) = project.glob(".mlops/artifacts/models/*/artifacts")
    rows.to_pickle(project / "rows.pkl")
    found = project / "outside.npy"
    run([sys.executable, "-c", PYFUNC, str(model), str(project / "rows.pkl"), str(found)], project)
    return np.load(found, allow_pickle=True)


def try_table(name: str, file: Path, folder: Path, options: tuple[str, ...]) -> list[str]:
    """Take one table all the way; the figures in the order of `COLUMNS`."""
    project = folder / "projects" / name
    shutil.rmtree(project, ignore_errors=True)
    project.parent.mkdir(parents=True, exist_ok=True)
    source = read(file)
    start, cpu = time.monotonic(), processor_s()
    label = ("--label", TABLES[name].label, "--missing-label", "drop")
    mlops("init", name, "--source", str(file), *label, "--yes", *options, cwd=project.parent)
    mlops("run", cwd=project)
    mlops("promote", name, "1", cwd=project)
    with served(project) as address:
        ask(address, as_json(source.head(1)))
        answer_s = time.monotonic() - start
        rows, predicted = test_rows(project, source)
        steps = range(0, len(rows), ROWS_OF_REQUEST)
        answers = [one for i in steps for one in ask(address, as_json(rows.iloc[i : i + ROWS_OF_REQUEST]))]
    figures = [f"{answer_s:.0f}", f"{processor_s() - cpu:.0f}"]
    equal = [equality(predicted, np.asarray(one)) for one in (answers, outside(project, rows))]
    return [name, str(len(source)), *findings(project), *figures, *equal]


def findings(project: Path) -> list[str]:
    """Kinds of the features, score, baseline and outcome of the gate."""
    (columns,) = project.glob(".mlops/runs/*/*/get-data/data/columns.json")
    (file,) = project.glob(".mlops/artifacts/*/artifacts/evaluation/test/report.json")
    found = [one for one in json.loads(columns.read_text())["columns"] if one["role"] == "feature"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one["kind"] for one in found).items())
    report = json.loads(file.read_text())
    verdict = report["verdict"]
    baseline = max(one[verdict["metric"]]["value"] for one in report["baselines"].values())
    gate = f"{'passed' if verdict['passed'] else 'refused'} {verdict['threshold']}"
    return [kinds, f"{verdict['metric']} {verdict['score']:.4f}", f"{baseline:.4f}", gate]


def equality(wanted: np.ndarray, found: np.ndarray) -> str:
    """``2500 equal``, or the number of rows that differ and the largest difference."""
    if wanted.shape != found.shape:
        return f"DIFFERENT shape {found.shape}, not {wanted.shape}"
    differing = (wanted != found).reshape(len(wanted), -1).any(axis=1)
    if not differing.any():
        return f"{len(wanted)} equal"
    return f"DIFFERENT {differing.sum()} of {len(wanted)}, by up to {np.abs(wanted - found).max():.2g}"


def main(folder: Path, names: list[str], options: tuple[str, ...]) -> None:
    """Try each table and print a line for it."""
    folder = folder.resolve()
    download(folder / "packages")
    print("\t".join(COLUMNS), flush=True)
    failed = False
    for name in names:
        try:
            line = "\t".join(try_table(name, folder / "packages" / TABLES[name].file, folder, options))
        except (RuntimeError, OSError, KeyError) as error:
            line = f"{name}\tfailed: {error!r}"
        failed |= "failed:" in line or "DIFFERENT" in line
        print(line, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="keeps the downloaded packages and the projects")
    parser.add_argument("tables", nargs="*", help=f"default: all ({', '.join(TABLES)})")
    parser.add_argument("--network", action="store_true", help="the network `tabular` instead of `auto`")
    given = parser.parse_intermixed_args()
    if unknown := sorted({*given.tables} - {*TABLES}):
        parser.error(f"There is no table {', '.join(unknown)}. There are: {', '.join(TABLES)}.")
    main(given.folder, given.tables or list(TABLES), NETWORK if given.network else ())
