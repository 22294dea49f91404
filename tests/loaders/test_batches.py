"""Torch batches: every row once an epoch, in the order asked for."""

import numpy as np
import pandas as pd
import pytest
import torch

from mlops_lib.errors import DataError
from mlops_lib.loaders.local import LocalDataLoader


@pytest.fixture
def dataset(tmp_path):
    """100 rows whose label is the row's number."""
    frame = pd.DataFrame({"a": np.arange(100.0), "b": np.arange(100) % 3 == 0, "y": np.arange(100)})
    for split in ("train", "validation", "test"):
        frame.to_parquet(tmp_path / f"{split}.parquet")
    return LocalDataLoader(tmp_path, label="y")


def test_every_row_comes_once_in_order(dataset):
    """Whole batches of float32, the last one shorter; label and features belong together."""
    batches = list(dataset.torch("train", 30))
    assert [len(x) for x, _ in batches] == [30, 30, 30, 10] == [len(y) for _, y in batches]
    assert len(dataset.torch("train", 30)) == 4
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert x.dtype == y.dtype == torch.float32 and x.shape == (100, 2)
    assert torch.equal(y, torch.arange(100.0)) and torch.equal(x[:, 0], y)


def test_shuffling_is_new_each_epoch_and_the_same_for_a_seed(dataset):
    """Two epochs differ, two loaders of one seed agree, and no row is lost."""

    def epochs(seed):
        batches = dataset.torch("train", 30, shuffle=True, seed=seed)
        return [torch.cat([y for _, y in batches]) for _ in range(2)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(first[0].sort().values, torch.arange(100.0))


def test_text_is_refused_with_what_to_do(tmp_path):
    """A network needs numbers; the message has the column, an example and two ways out."""
    frame = pd.DataFrame({"colour": ["red"] * 9, "y": [0.0] * 9})
    for split in ("train", "validation", "test"):
        frame.to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(DataError, match=r"'colour'.*'red'.*data\.prepare.*ColumnTransformer"):
        LocalDataLoader(tmp_path, label="y").torch("train", 3)
