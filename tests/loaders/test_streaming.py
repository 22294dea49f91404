"""Batches from Parquet on disk: every row once, whoever shares the work; and digests that are not computed twice."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mlops_lib import files
from mlops_lib.errors import DataError
from mlops_lib.loaders import fingerprints
from mlops_lib.loaders.base import Schema
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.streaming import ParquetBatches
from tests.support.waiting import LIMIT_S

ROWS = 1003


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files of ragged row groups; the label is the row's number."""
    root = tmp_path_factory.mktemp("parquet")
    numbers = np.arange(ROWS)
    frame = pd.DataFrame({"a": numbers * 2.0, "b": numbers % 3 == 0, "y": numbers})
    frame["a"] = frame["a"].where(numbers % 5 != 0)
    for split in ("train", "validation", "test"):
        (root / split).mkdir()
        for i, part in enumerate(np.array_split(frame, 3)):
            part.to_parquet(root / split / f"{i}.parquet", row_group_size=100)
    return root


def labels(batches):
    return torch.cat([y for _, y in batches])


def streamed(folder):
    return LocalDataLoader(folder, label="y", streaming=True)


def test_streamed_batches_are_those_from_memory(folder):
    """Same batches, same types, gaps and booleans included; the schema comes from the footers."""
    disk, memory = streamed(folder), LocalDataLoader(folder, label="y")
    assert disk.schema == memory.schema and disk.count("train") == ROWS
    pairs = zip(disk.torch("train", 64), memory.torch("train", 64), strict=True)
    for (x, y), (x2, y2) in pairs:
        torch.testing.assert_close(x, x2, equal_nan=True)
        assert torch.equal(y, y2)
    assert len(disk.torch("train", 64)) == 16 and "frames" not in vars(disk.source)
    pd.testing.assert_frame_equal(disk.head("train", 3), memory.load("train").head(3))


@pytest.mark.slow
def test_shuffled_streams_are_new_each_epoch_and_the_same_for_a_seed(folder):
    """Also when workers, which forget what they count, make the batches."""

    def epochs(seed, workers):
        batches = streamed(folder).torch("train", 64, shuffle=True, seed=seed, num_workers=workers)
        return [labels(batches) for _ in range(2)]

    for workers in (0, 2):
        first, again, other = epochs(0, workers), epochs(0, workers), epochs(1, workers)
        assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
        assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])
        assert torch.equal(first[0].sort().values, torch.arange(float(ROWS)))


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_workers_share_the_rows_without_overlap_or_loss(folder, streaming, shuffle):
    """Three workers make every row once, and as many batches as the loader says."""
    loader = LocalDataLoader(folder, label="y", streaming=streaming)
    batches = loader.torch("train", 64, shuffle=shuffle, num_workers=3)
    made = list(batches)
    assert torch.equal(labels(made).sort().values, torch.arange(float(ROWS)))
    assert len(made) == len(batches)


RANK = """
import sys
import torch, torch.distributed as dist
from mlops_lib.loaders.files import LocalDataLoader
rank, folder, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
# 501 and 167: one rank's share is a whole number of batches, the other's is one row more.
for streaming, size, workers in ((True, 64, 1), (False, 64, 1), (True, 167, 0), (False, 501, 0), (False, 84, 3)):
    loader = LocalDataLoader(folder, label="y", streaming=streaming)
    batches = loader.torch("train", size, shuffle=True, num_workers=workers)
    made = [len(y) for _, y in batches]
    mine = torch.cat([y for _, y in batches])
    counts = [torch.zeros(1, dtype=torch.long) for _ in range(2)]
    dist.all_gather(counts, torch.tensor([len(mine)]))
    assert abs(counts[0] - counts[1]) <= 1, counts
    padded = torch.cat([mine, torch.full((2000 - len(mine),), -1.0)])
    both = [torch.zeros(2000) for _ in range(2)]
    dist.all_gather(both, padded)
    every = torch.cat(both)
    every = every[every >= 0].sort().values
    assert torch.equal(every, torch.arange(1003.0)), every
    steps = [torch.zeros(1, dtype=torch.long) for _ in range(2)]
    dist.all_gather(steps, torch.tensor([len(made)]))
    assert steps[0] == steps[1] == len(batches), (size, steps, len(batches))
    assert 1 <= min(made) and max(made) <= size + 1, made  # a last row alone joins the batch before
dist.destroy_process_group()
print("shared")
"""


@pytest.mark.slow
def test_two_ranks_share_the_rows_without_overlap_or_loss(folder, tmp_path):
    """Two gloo processes have half of the rows each, to within one, in as many steps each, streamed or not."""
    command = [sys.executable, "-c", RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), folder, tmp_path / "store"], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    assert [rank.communicate(timeout=LIMIT_S)[0].strip() for rank in ranks] == ["shared", "shared"]


def test_a_column_or_label_that_cannot_be_streamed_is_named(tmp_path):
    """Text, and a row without a label: the message has the file and the column."""
    rows = {"colour": ["red"] * 5, "y": [1.0, 2.0, None, 4.0, 5.0]}
    for split in ("train", "validation", "test"):
        pq.write_table(pa.table(rows), tmp_path / f"{split}.parquet")
    files = [tmp_path / "train.parquet"]
    with pytest.raises(DataError, match=r"'colour' of .*train\.parquet is string"):
        next(iter(ParquetBatches(files, Schema.of({"colour": "category"}, label="y"), 5, False, 0)))
    with pytest.raises(DataError, match=r"train\.parquet: 1 rows have no 'y'"):
        next(iter(ParquetBatches(files, Schema.of({}, label="y"), 5, False, 0)))


@pytest.fixture
def remembered(tmp_path, monkeypatch):
    """A loader on two files with a cache, and which files were read."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        (data / f"{name}.csv").write_text("x,y\n1,0\n2,1\n")
    monkeypatch.setattr(fingerprints, "SETTLED_S", -1.0)
    read = []
    digest = files.sha256
    monkeypatch.setattr(files, "sha256", lambda file: read.append(file.name) or digest(file))
    cache = tmp_path / "work" / "fingerprints.json"
    return lambda: LocalDataLoader(data, label="y", cache=cache), read, data


def test_unchanged_files_are_not_read_again(remembered):
    """The second loader, a new one, finds the same fingerprint in the cache."""
    loader, read, _ = remembered
    first = loader().fingerprint()
    assert sorted(read) == ["a.csv", "b.csv"]
    read.clear()
    assert loader().fingerprint() == first and read == []


def test_a_changed_byte_is_found_even_when_size_and_time_are_kept(remembered):
    """The change time reveals an edit in place that restores the old modification time."""
    loader, read, folder = remembered
    first = loader().fingerprint()
    read.clear()
    stat = (folder / "a.csv").stat()
    while (
        folder / "a.csv"
    ).stat().st_ctime_ns == stat.st_ctime_ns:  # until the clock of the file system ticks
        with (folder / "a.csv").open("r+") as file:
            file.seek(4)
            file.write("7")
    os.utime(folder / "a.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (folder / "a.csv").stat().st_size == stat.st_size
    assert loader().fingerprint() != first
    assert read == ["a.csv"]


def test_the_digest_of_a_new_file_is_not_cached(tmp_path, monkeypatch):
    """The file may change again within one tick of the clock, which its times would not show."""
    monkeypatch.setattr(fingerprints, "SETTLED_S", 3600.0)
    (tmp_path / "a.csv").write_text("x,y\n1,0\n")
    LocalDataLoader(tmp_path / "a.csv", label="y", cache=tmp_path / "cache.json").fingerprint()
    assert not (tmp_path / "cache.json").exists()


def test_a_broken_cache_is_ignored(tmp_path):
    """An incomplete cache is ignored, and the files are read again."""
    (tmp_path / "a.csv").write_text("x,y\n1,0\n")
    (tmp_path / "cache.json").write_text('{"a": [1')
    alone = LocalDataLoader(tmp_path / "a.csv", label="y").fingerprint()
    assert (
        LocalDataLoader(tmp_path / "a.csv", label="y", cache=tmp_path / "cache.json").fingerprint() == alone
    )
