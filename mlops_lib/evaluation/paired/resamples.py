"""The resamples of a bootstrap over entities: how often each row is in each resample."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

#: Numbers in one block of resamples. Small blocks fit the processor's cache: 2**19 numbers are 4 MiB.
BLOCK_NUMBERS = 2**19


def codes(entities: Sequence[str]) -> np.ndarray:
    """Number of each row's entity, int [N], counted in the order in which they appear."""
    return pd.factorize(np.asarray(entities, dtype=object))[0]


def blocks(entity_codes: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of N rows is in each resample: blocks of float64 [b, N], `resamples` rows in all.

    A resample draws as many entities as there are, with replacement, and takes all rows of
    each. The draws depend on the seed and the number of entities alone, so that sacrebleu draws
    the same ones from the same seed.
    """
    rng = np.random.default_rng(seed)
    entities = int(entity_codes.max()) + 1
    one_row_each = np.array_equal(entity_codes, np.arange(len(entity_codes)))
    size = max(BLOCK_NUMBERS // len(entity_codes), 1)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = rng.integers(0, entities, size=(rows, entities))
        drawn += np.arange(rows)[:, None] * entities
        counts = np.bincount(drawn.ravel(), minlength=rows * entities).reshape(rows, entities).astype(float)
        yield counts if one_row_each else counts.take(entity_codes, axis=1)
