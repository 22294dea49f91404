"""Compare the loader's torch batches with the stock DataLoader and with bare slicing.

``python -m benchmarks.batches``. One process, interleaved rounds, medians. Compare ratios only.
"""

import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch.utils.data import DataLoader, TensorDataset

from mlops_lib.loaders.batches import EpochLoader, TensorBatches

ROWS, FEATURES, BATCH_ROWS, ROUNDS = 200_000, 32, 1_024, 7


def main() -> None:
    """Print rows a second of each, and the two ratios."""
    torch.set_num_threads(1)
    x, y = torch.randn(ROWS, FEATURES), torch.randn(ROWS)
    ways: dict[str, Callable[[], Iterable]] = {
        "stock DataLoader(TensorDataset)": lambda: DataLoader(TensorDataset(x, y), batch_size=BATCH_ROWS),
        "bare slicing": lambda: (
            (x[i : i + BATCH_ROWS], y[i : i + BATCH_ROWS]) for i in range(0, ROWS, BATCH_ROWS)
        ),
        "this loader": lambda: EpochLoader(TensorBatches((x, y), BATCH_ROWS, False, 0)),
    }
    shuffled: dict[str, Callable[[], Iterable]] = {
        "stock, shuffled": lambda: DataLoader(TensorDataset(x, y), batch_size=BATCH_ROWS, shuffle=True),
        "bare slicing, shuffled": lambda: _bare_shuffled(x, y),
        "this loader, shuffled": lambda: EpochLoader(TensorBatches((x, y), BATCH_ROWS, True, 0)),
    }
    for group in (ways, shuffled):
        speed = rates(group)
        stock, bare, ours = speed.values()
        for name, rate in speed.items():
            print(f"{name:<34} {rate / 1e6:>8.2f} million rows/s")
        print(f"{'against stock / bare slicing':<34} {ours / stock:>8.1f} x / {ours / bare:.2f} x\n")


def rates(ways: dict[str, Callable[[], Iterable]]) -> dict[str, float]:
    """Rows a second of each method: the median over interleaved rounds."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            total = torch.zeros(())
            for batch, _ in way():
                total += batch[0, 0]
            took[name].append(time.perf_counter() - began)
    return {name: ROWS / statistics.median(seconds) for name, seconds in took.items()}


def _bare_shuffled(x: torch.Tensor, y: torch.Tensor) -> Iterable:
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    return ((x[i : i + BATCH_ROWS], y[i : i + BATCH_ROWS]) for i in range(0, len(x), BATCH_ROWS))


if __name__ == "__main__":
    main()
