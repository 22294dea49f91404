"""Deterministic splits: the split of a key does not depend on other rows."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from mlops_lib.loaders.splits import Split


def assign(
    keys: "pd.Series", validation_fraction: float, test_fraction: float, seed: int
) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    """The split of each key, by a hash of the key and `seed`.

    Args:
        keys: Entity keys [rows]; equal keys get the same split.
        validation_fraction: Share of keys, 0 to 1.
        test_fraction: Share of keys, 0 to 1.
        seed: Another seed gives another split.

    Returns:
        Names of splits [rows].
    """
    from pandas.util import hash_pandas_object

    names: list[Split] = ["test", "validation", "train"]
    share = mix(hash_pandas_object(keys, index=False).to_numpy(), seed) / 2.0**64
    edges = [test_fraction, test_fraction + validation_fraction]
    return np.array(names)[np.digitize(share, edges)]


def mix(hashes: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring integers end up far apart."""
    z = hashes.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
