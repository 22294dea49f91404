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
