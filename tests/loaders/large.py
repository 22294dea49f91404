"""A project with splits larger than a limit of memory, and the run that is put under it; no tests here."""

import resource
import time
from pathlib import Path

import numpy as np

#: Of the run of three steps, and of reading a CSV, whose blocks take less memory than a fit.
MARGIN_MB, CSV_MARGIN_MB = 250, 165
FEATURES, ROWS, GROUP_ROWS = 64, 400_000, 10_000
CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: large}}
data:
  source: {source}
  key: id
  label: y
  streaming: {streaming}
  checks:
    unique: [id]
    columns:
      id: {{type: integer, min: 0, unique: true}}
      f00: {{type: number, min: -10, max: 10}}
      y: {{type: integer, values: [0, 1]}}
model: {{name: large, wrapper: lightning, implementation: tabular, params: {{hidden: [8]}}}}
train: {{max_epochs: 1, batch_size: 512}}
evaluation: {{threshold: 0.5, baselines: [majority, logistic]}}
"""


def write_large(folder: Path, train_rows: int = ROWS, test_rows: int = ROWS) -> float:
    """Random rows, the label of which follows from the first feature; their megabytes in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    megabytes = 0.0
    for start, (split, rows) in enumerate(
        {"train": train_rows, "validation": 2_000, "test": test_rows}.items()
    ):
        (folder / split).mkdir(parents=True)
        for number in range(0, rows, 5 * GROUP_ROWS):
            size = min(5 * GROUP_ROWS, rows)
            values = random.standard_normal((FEATURES, size), dtype=np.float32)
            columns = {"id": np.arange(number, number + size) + start * train_rows}
            columns |= {f"f{i:02}": column for i, column in enumerate(values)}
            columns["y"] = (values[0] > random.standard_normal(size) / 3).astype(np.int64)
            file = folder / split / f"{number:09}.parquet"
            pq.write_table(pa.table(columns), file, compression="none", row_group_size=GROUP_ROWS)
        megabytes += rows * (8 * FEATURES + 16) / 2**20
    return megabytes


def run(folder: str, streaming: bool, margin_mb: int = MARGIN_MB) -> None:
    """What the notebooks do: once on a few rows without a limit, then on all of them with one."""
    import torch

    from mlops_lib import config, loaders, wrappers
    from mlops_lib.data_checks import declared

    torch.set_num_threads(1)
    root = Path(folder)

    def notebooks(source: str, limit: int) -> None:
        file = root / f"config-{streaming}.yaml"
        file.write_text(CONFIG.format(source=source, streaming=str(streaming).lower()))
        settings = config.load(file)
        into = root / f"data-{streaming}-{limit}"
        print(declared.write(settings, loaders.from_settings(settings), into, limit))
        dataset = loaders.prepared(settings, into)
        dataset.head("train", 1000)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        report = model.evaluate(dataset, settings)
        print(report.table(), report.notes)

    small = root / f"small-{streaming}"
    if not small.exists():
        write_small(root / "rows", small)
    notebooks(str(small), 1_000)
    _limit(margin_mb)
    before_mb, began = _most_resident_mb(), time.perf_counter()
    notebooks("rows", 0)
    took_s = time.perf_counter() - began
    print(f"resident at most: {before_mb:.0f} MB before, {_most_resident_mb():.0f} MB after; {took_s:.0f} s")


def write_csv(file: Path, rows: int) -> float:
    """Random rows of numbers, text and a label as CSV; their megabytes in memory."""
    import pyarrow as pa
    import pyarrow.csv

    random = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, GROUP_ROWS):
        values = random.standard_normal((FEATURES, GROUP_ROWS)).round(6)
        columns = {"id": np.arange(start, start + GROUP_ROWS), "f00": values[0]}
        columns |= {f"f{i:02}": values[i] for i in range(1, FEATURES)}
        columns |= {
            "text": [f"text {i % 1000}" for i in range(GROUP_ROWS)],
            "y": (values[0] > 0).astype(np.int64),
        }
        table = pa.table(columns)
        writer = writer or pyarrow.csv.CSVWriter(file, table.schema)
        writer.write_table(table)
    assert writer
    writer.close()
    return rows * (8 * FEATURES + 32) / 2**20


def get_data(folder: str, how: str) -> None:
    """Run 01_get_data's work on ``few.csv``, then on ``many.csv`` with a limit of memory; `how` is data.split."""
    from mlops_lib import config, loaders
    from mlops_lib.data_checks import declared

    root = Path(folder)

    def notebook(source: str) -> None:
        file = root / f"{source}.yaml"
        text = CONFIG.format(source=f"{source}.csv", streaming="false")
        file.write_text(text.replace("  key: id\n", f"  key: id\n  split: {how}\n"))
        settings = config.load(file)
        print(declared.write(settings, loaders.from_settings(settings), root / f"data-{source}"))

    notebook("few")
    _limit(CSV_MARGIN_MB)
    notebook("many")


def _limit(margin_mb: int) -> None:
    """Allow this process so much more private memory than it has."""
    used_kb = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
    limit = int(used_kb.split()[1]) * 1024 + margin_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _most_resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_small(large: Path, folder: Path) -> None:
    """The first row group of each split."""
    import pyarrow.parquet as pq

    for split in ("train", "validation", "test"):
        first = min((large / split).iterdir())
        (folder / split).mkdir(parents=True)
        with pq.ParquetFile(first) as parquet:
            pq.write_table(parquet.read_row_group(0), folder / split / "0.parquet")
