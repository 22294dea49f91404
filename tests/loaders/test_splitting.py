"""Splits by a hash of the key: stable, disjoint, of the size asked for."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib.loaders.splitting import assign


def test_a_key_stays_in_its_split_whatever_else_there_is():
    """New rows, another order: no customer changes sides."""
    keys = pd.Series(np.arange(1000))
    whole = pd.Series(assign(keys, 0.15, 0.25, 0), index=keys)
    some = keys.sample(300, random_state=1)
    assert (assign(some, 0.15, 0.25, 0) == whole[some].to_numpy()).all()


def test_the_split_of_today_is_the_split_of_tomorrow():
    """Literals, so that a new release of a library cannot move customers unseen."""
    assert assign(pd.Series([1, 2, 3, 4, 5, 6]), 0.15, 0.25, 0).tolist() == [
        "train",
        "validation",
        "train",
        "validation",
        "train",
        "validation",
    ]
    assert assign(pd.Series(["a", "b", "c", "d"]), 0.15, 0.25, 0).tolist() == [
        "test",
        "validation",
        "validation",
        "train",
    ]


@pytest.mark.parametrize(
    "keys", [np.arange(20_000), np.arange(20_000) * 10, [f"u{i}" for i in range(20_000)]]
)
def test_shares_are_those_asked_for(keys):
    """Neighbouring and regular keys are spread like any others (4 standard deviations)."""
    split = assign(pd.Series(keys), 0.15, 0.25, 0)
    for name, share in (("test", 0.25), ("validation", 0.15), ("train", 0.6)):
        assert abs((split == name).mean() - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_another_seed_is_another_split_and_independent_of_the_first():
    """A quarter of the first test split is in the second one, as chance has it."""
    keys = pd.Series(np.arange(20_000))
    first, second = assign(keys, 0.15, 0.25, 0) == "test", assign(keys, 0.15, 0.25, 1) == "test"
    assert 0.22 < second[first].mean() < 0.28


@pytest.mark.parametrize("rows", [20, 60, 100, 1_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_positions_get_exact_shares_in_small_tables(rows, seed):
    """Every 20 rows have 5 test and 3 validation rows."""
    names, counts = np.unique(assign(range(rows), 0.15, 0.25, seed), return_counts=True)
    assert dict(zip(names, counts / rows, strict=True)) == {"test": 0.25, "train": 0.6, "validation": 0.15}


def test_positions_keep_their_split_when_rows_are_appended_and_in_parts():
    """The split of a position depends on neither the number of rows nor the parts they are read in."""
    whole = assign(range(333), 0.15, 0.25, 0)
    assert (assign(range(1_000), 0.15, 0.25, 0)[:333] == whole).all()
    parts = [assign(range(at, min(at + 7, 333)), 0.15, 0.25, 0) for at in range(0, 333, 7)]
    assert (np.concatenate(parts) == whole).all()
    assert len(assign(range(5, 5), 0.15, 0.25, 0)) == 0


def test_the_split_of_a_position_today_is_its_split_tomorrow():
    """Literals, as for keys: a row moves in no later version."""
    initials = "".join(name[:2] for name in assign(range(20), 0.15, 0.25, 0))
    assert initials == "tevavatrtrtrtetrtetrtetrtetrvatrtrtrtrtr"


def test_fractions_that_are_no_whole_rows_of_a_block_hold_over_many():
    """12.3 % of many rows are test, and each position of a block is as likely as the others."""
    split = assign(range(100_000), 0.2, 0.123, 3)
    assert abs((split == "test").mean() - 0.123) < 0.002
    by_place = (split == "test").reshape(-1, 20).mean(0)
    assert by_place.min() > 0.1 and by_place.max() < 0.145
