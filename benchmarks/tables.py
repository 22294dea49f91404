"""Compare the work of 01_get_data with a bare pyarrow read and write: rows per second and peak memory.

``python -m benchmarks.tables [million rows] [csv of another table ...]``. The generated table has ten
columns of mixed kinds beside key and label. Each measurement is a process of its own; both run in
turn, and the best of three counts.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS, CHUNK_ROWS = 3, 250_000
CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: tables}}
data: {{source: {source}, key: {key}, label: {label}}}
model: {{name: tables, wrapper: sklearn, implementation: auto}}
evaluation: {{threshold: 0.5}}
"""


def main(millions: float = 5, *tables: str) -> None:
    """Write the table as CSV and Parquet, and measure each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [(write(folder, round(millions * 1e6), kind), "id", "y") for kind in ("csv", "parquet")]
        for table in tables:
            path, key, label = (*table.split(":"), "", "")[:3]
            sources.append((Path(path), key, label))
        for source, key, label in sources:
            print(f"{source.name}: {source.stat().st_size / 1e6:.0f} MB", flush=True)
            best: dict[str, dict[str, float]] = {}
            for _ in range(ROUNDS):
                for how in ("pyarrow", "get-data"):
                    command = [
                        sys.executable,
                        "-m",
                        "benchmarks.tables",
                        f"--{how}",
                        str(source),
                        key,
                        label,
                        name,
                    ]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    found = json.loads(done.stdout.splitlines()[-1])
                    if how not in best or found["cpu_s"] < best[how]["cpu_s"]:
                        best[how] = found
            for how, found in best.items():
                times = found["cpu_s"] / best["pyarrow"]["cpu_s"]
                print(
                    f"  {how:9} {found['wall_s']:6.1f} s, {found['cpu_s']:6.1f} s of processors ({times:.1f} x), "
                    f"{found['rows'] / found['wall_s']:10,.0f} rows/s, peak {found['peak_mb']:,.0f} MB "
                    f"(+{found['peak_mb'] - found['before_mb']:,.0f})",
                    flush=True,
                )


def write(folder: Path, rows: int, kind: str) -> Path:
    """Write the generated table in parts; return its path."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    words = np.array([f"value {i}" for i in range(10_000)])
    path = folder / f"mixed.{kind}"
    writer = None
    for start in range(0, rows, CHUNK_ROWS):
        n = min(CHUNK_ROWS, rows - start)
        days = np.datetime64("2020-01-01") + random.integers(0, 2_000, n)
        gaps = random.random(n) < 0.05
        table = pa.table(
            {
                "id": np.arange(start, start + n),
                "amount": pa.array(random.gamma(2, 50, n).round(2), mask=gaps),
                "score": random.standard_normal(n),
                "count": random.integers(0, 1_000, n),
                "age": pa.array(random.integers(18, 90, n), mask=gaps),
                "city": words[random.integers(0, 300, n)],
                "plan": words[random.integers(0, 4, n)],
                "product": words[random.integers(0, 10_000, n)],
                "zip": [f"{value:05}" for value in random.integers(0, 99_999, n)],
                "signup": days if kind == "parquet" else days.astype(str),
                "active": random.random(n) < 0.5,
                "y": random.integers(0, 2, n),
            }
        )
        if writer is None:
            writer = (
                pq.ParquetWriter(path, table.schema)
                if kind == "parquet"
                else pyarrow.csv.CSVWriter(path, table.schema)
            )
        writer.write_table(table)
    assert writer
    writer.close()
    return path


def with_pyarrow(source: Path, folder: Path) -> int:
    """Read the table and write it as Parquet, with nothing else."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pyarrow.csv.read_csv(source) if source.suffix == ".csv" else pq.read_table(source)
    pq.write_table(table, folder / "bare.parquet")
    return len(table)


def with_get_data(source: Path, key: str, label: str, folder: Path) -> int:
    """Read, type, split, check and write the table as 01_get_data does."""
    from mlops_lib import config, loaders
    from mlops_lib.data_checks import declared

    file = folder / "config.yaml"
    file.write_text(CONFIG.format(source=source, key=key or '""', label=label))
    settings = config.load(file)
    return sum(declared.write(settings, loaders.from_settings(settings), folder / "data").values())


def measure(how: str, source: str, key: str, label: str, folder: str) -> None:
    """Run one of the two in this process and print its figures as JSON."""
    import pandas  # noqa: F401  imports are no part of the measurement

    from mlops_lib import config, loaders  # noqa: F401
    from mlops_lib.data_checks import declared  # noqa: F401
    from mlops_lib.loaders import files  # noqa: F401

    before_mb, wall, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    rows = (
        with_pyarrow(Path(source), Path(folder))
        if how == "--pyarrow"
        else with_get_data(Path(source), key, label, Path(folder))
    )
    found = {"rows": rows, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps(found | {"before_mb": before_mb, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:2] in (["--pyarrow"], ["--get-data"]):
        measure(*sys.argv[1:])
    else:
        main(*[float(arg) if i == 0 else arg for i, arg in enumerate(sys.argv[1:])])  # type: ignore[arg-type]
