"""Train an epoch on 2.2 GB of Parquet in a process limited to 700 MB; then run 01 to 03 on 1.3 GB.

``python -m benchmarks.streaming [megabytes] [limit in megabytes]``. The limit is the kernel's (RLIMIT_DATA):
a process that wants more private memory gets a MemoryError. The second part checks, writes, trains and
evaluates; its limit is added to the memory that imports and a rehearsal on a few rows have taken.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.loaders import large

FEATURES, GROUP_ROWS, FILES = 16, 65_536, 16
JUDGED_MB = 600
#: Largest allowed ratio of the memory at the end of the epoch to the memory at its beginning.
FLAT = 1.1


def main(megabytes: int = 2_200, limit_mb: int = 700) -> None:
    """Write the files, train on them in a limited process, and check that its memory does not grow."""
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder), megabytes)
        print(f"{size / 2**20:.0f} MB of Parquet, {limit_mb} MB of memory: {size / 2**20 / limit_mb:.1f} x")
        command = [sys.executable, "-m", "benchmarks.streaming", "--train", folder, str(limit_mb)]
        subprocess.run(command, check=True)
    with tempfile.TemporaryDirectory() as folder:
        size_mb = large.write_large(Path(folder) / "rows", train_rows=4_000_000, test_rows=1_000_000)
        print(
            f"01 to 03: {size_mb:.0f} MB of rows, {JUDGED_MB} MB of memory: {size_mb / JUDGED_MB:.1f} x",
            flush=True,
        )
        code = f"from tests.loaders import large; large.run({folder!r}, True, {JUDGED_MB})"
        subprocess.run([sys.executable, "-c", code], check=True)


def write(folder: Path, megabytes: int) -> int:
    """Write random rows as Parquet without compression; return the size of the train split in bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = megabytes * 2**20 // (8 * (FEATURES + 1)) // FILES
    random = np.random.default_rng(0)
    for split, files in (("train", FILES), ("validation", 1), ("test", 1)):
        (folder / split).mkdir()
        for number in range(files):
            values = random.standard_normal((FEATURES, rows if split == "train" else 1_000))
            columns = {f"f{i:02}": column for i, column in enumerate(values)}
            columns["y"] = (values[0] > 0).astype(float)
            file = folder / split / f"{number:02}.parquet"
            options = {"compression": "none", "use_dictionary": False, "row_group_size": GROUP_ROWS}
            pq.write_table(pa.table(columns), file, **options)
    return sum(file.stat().st_size for file in (folder / "train").iterdir())


def train(folder: Path, limit_mb: int) -> None:
    """Train the platform's network for one epoch on streamed batches, within the limit."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 2**20, limit_mb * 2**20))
    import torch
    from lightning.pytorch import Trainer

    from mlops_lib.loaders.files import LocalDataLoader
    from mlops_lib.networks.tabular import TabularNetwork

    torch.set_num_threads(1)
    loader = LocalDataLoader(folder, label="y", streaming=True)
    rows = loader.count("train")
    network = TabularNetwork(FEATURES, 2, hidden=(16,))
    seen: list[float] = []
    began = time.perf_counter()

    class Watched(type(network)):  # type: ignore[misc]
        def training_step(self, batch, number):
            if number % 200 == 0:
                seen.append(_resident_mb())
            return super().training_step(batch, number)

    network.__class__ = Watched
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **options)
    trainer.fit(network, loader.torch("train", 4_096, shuffle=True))
    took_s = time.perf_counter() - began
    tenth = max(len(seen) // 10, 1)
    early, late = max(seen[tenth : 3 * tenth]), max(seen[-2 * tenth :])
    print(f"{rows} rows trained on in {took_s:.0f} s ({rows / took_s / 1e6:.2f} million rows/s)")
    print(f"resident: {early:.0f} MB early in the epoch, {late:.0f} MB at its end ({late / early:.2f} x)")
    if late > FLAT * early:
        sys.exit(f"memory is not flat: it grew more than {FLAT} x")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:]))
