"""Deterministic splits: the split of a key does not depend on other rows,
nor on the type its file was read as."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from mlops_lib.loaders.splits import Split

#: In the order of the numbers that `assign` draws.
ORDER: "tuple[Split, ...]" = ("test", "validation", "train")
#: Positions that are drawn together; the default fractions are whole numbers of them.
BLOCK = 20


def assign(
    keys: "pd.Series | pa.Array | pa.ChunkedArray | range",
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    """The split of each key, by a hash of its text and `seed`.

    Args:
        keys: Entity keys [rows], or the positions of rows; equal keys get the same split.
            Each block of `BLOCK` positions has its shares of each split, so that a small table has them too.
        validation_fraction: Share of keys, 0 to 1.
        test_fraction: Share of keys, 0 to 1.
        seed: Another seed gives another split.

    Returns:
        Names of splits [rows].
    """
    edges = [test_fraction, test_fraction + validation_fraction]
    drawn = _drawn(keys, seed) if isinstance(keys, range) else hashes(keys, seed) / 2.0**64
    return np.array(ORDER)[np.digitize(drawn, edges)]


def _drawn(positions: range, seed: int) -> np.ndarray:
    """A number between 0 and 1 for each position, evenly spread in each block."""
    first, last = positions.start // BLOCK, -(-positions.stop // BLOCK)
    blocks = hashes(range(first * BLOCK, last * BLOCK), seed).reshape(-1, BLOCK)
    offsets = mix(blocks[:, :1], seed) / 2.0**64
    drawn = (blocks.argsort(axis=1).argsort(axis=1) + offsets) / BLOCK
    return drawn.reshape(-1)[positions.start - first * BLOCK : positions.stop - first * BLOCK]


def hashes(keys: "pd.Series | pa.Array | pa.ChunkedArray | range", seed: int) -> np.ndarray:
    """A 64-bit hash of each key's text (of the number, for positions of rows) and `seed`."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    from pandas.util import hash_array

    from mlops_lib.loaders.texts import texts

    if isinstance(keys, range):
        return mix(hash_array(np.arange(keys.start, keys.stop)), seed)
    if isinstance(keys, pd.Series):
        keys = _arrow(keys)
    text = texts(keys)
    # pandas writes integers with a gap as 7.0: that text is hashed as the integer,
    # though it is another key than 7.
    if pc.any(pc.ends_with(text, ".0")).as_py():
        text = pc.replace_substring_regex(text, r"^(-?[0-9]+)\.0$", r"\1")
    assert isinstance(text, pa.Array)
    return mix(hash_array(text.to_numpy(zero_copy_only=False), categorize=False), seed)


def _arrow(keys: "pd.Series") -> "pa.Array":
    """Keys as Arrow; of several Python types, as their texts."""
    import pyarrow as pa

    from mlops_lib.columns.text import text_of

    try:
        found = pa.array(keys, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([text_of(key) for key in keys], pa.string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def mix(hashes: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring integers end up far apart."""
    z = hashes.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
