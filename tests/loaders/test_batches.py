"""Torch batches: every row once an epoch, in the order asked for."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mlops_lib.errors import DataError
from mlops_lib.loaders import batches
from mlops_lib.loaders.files import LocalDataLoader


@pytest.fixture
def dataset(tmp_path):
    """100 rows whose label is the row's number."""
    frame = pd.DataFrame({"a": np.arange(100.0), "b": np.arange(100) % 3 == 0, "y": np.arange(100)})
    for split in ("train", "validation", "test"):
        frame.to_parquet(tmp_path / f"{split}.parquet")
    return LocalDataLoader(tmp_path, label="y")


def test_every_row_comes_once_in_order(dataset):
    """Whole batches of float32, the last one shorter; label and features belong together."""
    made = list(dataset.torch("train", 30))
    assert [len(x) for x, _ in made] == [30, 30, 30, 10] == [len(y) for _, y in made]
    assert len(dataset.torch("train", 30)) == 4
    x, y = (torch.cat(parts) for parts in zip(*made, strict=True))
    assert x.dtype == y.dtype == torch.float32 and x.shape == (100, 2)
    assert torch.equal(y, torch.arange(100.0)) and torch.equal(x[:, 0], y)


def test_shuffling_is_new_each_epoch_and_the_same_for_a_seed(dataset):
    """Two epochs differ, two loaders of one seed agree, and no row is lost."""

    def epochs(seed):
        shuffled = dataset.torch("train", 30, shuffle=True, seed=seed)
        return [torch.cat([y for _, y in shuffled]) for _ in range(2)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(first[0].sort().values, torch.arange(100.0))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("size", [2, 3, 9, 11, 33, 99, 100, 1_000])
def test_no_training_batch_has_one_row(dataset, size, streaming):
    """Batch normalisation fails on one row: a last row alone joins the batch before, and is in every epoch."""
    loader = LocalDataLoader(dataset.path, label="y", streaming=streaming)
    shuffled = loader.torch("train", size, shuffle=True)
    made = [y for _, y in shuffled]
    assert len(made) == len(shuffled) and min(map(len, made)) > 1 and max(map(len, made)) <= size + 1
    assert torch.equal(torch.cat(made).sort().values, torch.arange(100.0))
    assert [len(y) for _, y in loader.torch("train", 33)] == [
        33,
        33,
        33,
        1,
    ]  # of validation: judged as they are


def test_text_is_refused_with_what_to_do(tmp_path):
    """Without an encoder a network needs numbers; the message has the column, an example and the way out."""
    frame = pd.DataFrame({"colour": ["red"] * 9, "y": [0.0] * 9})
    for split in ("train", "validation", "test"):
        frame.to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(DataError, match=r"'colour'.*'red'.*encoder="):
        LocalDataLoader(tmp_path, label="y").torch("train", 3)


def on_ranks(monkeypatch, world, workers, rows, batch_size):
    """The batches' sizes of each rank, and how many of them it announces."""
    made = []
    for rank in range(world):
        monkeypatch.setattr(batches, "_rank", lambda rank=rank: (rank, world))
        numbers = torch.arange(float(rows))
        mine = batches.TensorBatches((numbers[:, None], numbers), batch_size, False, 0)
        mine.workers, sizes = max(workers, 1), []
        for worker in range(max(workers, 1)):
            info = SimpleNamespace(id=worker, num_workers=workers) if workers else None
            monkeypatch.setattr(batches, "get_worker_info", lambda info=info: info)
            sizes += [len(y) for _, y in mine]
        made.append((len(mine), sizes))
    return made


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_take_as_many_steps_whatever_the_numbers(monkeypatch, world, workers):
    """Each rank makes as many batches, none of them empty and no row lost; or it is said that this cannot be."""
    refused = 0
    for rows in range(1, 30):
        for batch_size in range(1, 6):
            try:
                made = on_ranks(monkeypatch, world, workers, rows, batch_size)
            except DataError:
                refused += 1
                shares = world * max(workers, 1)
                assert rows < shares or (batch_size == 1 and rows % shares)
                continue
            assert {len(sizes) for _, sizes in made} == {made[0][0]}
            assert all(0 < size <= batch_size for _, sizes in made for size in sizes)
            assert sum(size for _, sizes in made for size in sizes) == rows
    assert refused


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_torchs_own_kind_of_loader(dataset, workers):
    """A trainer that asks for a DataLoader gets one."""
    assert isinstance(dataset.torch("train", 30, num_workers=workers), torch.utils.data.DataLoader)
