"""Compare a cached fingerprint of unchanged data with reading the data again.

``python -m benchmarks.fingerprints``.
"""

import os
import tempfile
import time
from pathlib import Path

from mlops_lib.loaders.files import LocalDataLoader

FILES, MEGABYTES_EACH = 16, 32


def main() -> None:
    """Print the seconds of the first and second fingerprint and their ratio; then change one byte."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{number:02}.parquet").write_bytes(os.urandom(MEGABYTES_EACH * 2**20))
        time.sleep(1.5)  # files that were just written are not cached
        first, first_s = _timed(folder)
        again, again_s = _timed(folder)
        assert again == first
        with (folder / "07.parquet").open("r+b") as file:
            file.seek(12_345)
            byte = file.read(1)
            file.seek(12_345)
            file.write(bytes([byte[0] ^ 1]))
        changed, changed_s = _timed(folder)
        assert changed != first
    print(
        f"{FILES * MEGABYTES_EACH} MB: read {first_s:.3f} s, unchanged {again_s:.4f} s ({first_s / again_s:.0f} x)"
    )
    print(
        f"one byte changed: found in {changed_s:.3f} s ({first_s / changed_s:.1f} x), one file of {FILES} read"
    )


def _timed(folder: Path) -> tuple[str, float]:
    began = time.perf_counter()
    digest = LocalDataLoader(folder, label="y", cache=folder.parent / "cache.json").fingerprint()
    return digest, time.perf_counter() - began


if __name__ == "__main__":
    main()
