"""Agreement of a judge with people who scored the same answers, with intervals."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES, CONFIDENCE, SEED = 2_000, 0.95, 0
#: Most resamples in work at once, times rows.
MAX_CELLS = 4_000_000


class Agreement(NamedTuple):
    """One measure; None where it is not defined, for example for people who gave one score to all answers."""

    name: str
    value: float | None
    low: float | None
    high: float | None


def agreement(judge: Sequence[float], people: Sequence[float], scale: Sequence[int]) -> list[Agreement]:
    """Share of equal scores, Cohen's kappa with quadratic weights (Cohen 1968), and Spearman's rank correlation.

    Args:
        judge: N scores; a mean of several counts as the nearest score of the scale, except in the correlation.
        people: N scores on the scale.
        scale: Its scores, ascending. Kappa weighs by their positions.

    Returns:
        Each with a 95 % interval from 2,000 resamples of the rows; a resample without a value is left out.
    """
    scores = np.array(scale, dtype=float)
    ours, theirs = np.array(judge, dtype=float), np.array(people, dtype=float)
    nearest, given = (np.abs(one[:, None] - scores).argmin(axis=1) for one in (ours, theirs))
    positions = np.stack([nearest, given]).astype(float)
    measures: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], np.ndarray]] = {
        "same score": (_same, positions),
        "Cohen's kappa, quadratic": (_kappa, positions),
        "Spearman": (_spearman, np.stack([ours, theirs])),
    }
    return [_measured(name, function, pairs) for name, (function, pairs) in measures.items()]


def table(judge: Sequence[float], people: Sequence[float], scale: Sequence[int]) -> "pd.DataFrame":
    """`agreement` for people, with the number of rows."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "measure": one.name,
                "value": one.value,
                "95% low": one.low,
                "95% high": one.high,
                "rows": len(judge),
            }
            for one in agreement(judge, people, scale)
        ]
    )


def _measured(
    name: str, function: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: np.ndarray
) -> Agreement:
    value = float(function(*pairs[:, None, :])[0])
    rows = pairs.shape[1]
    random, found = np.random.default_rng(SEED), []
    at_once = max(MAX_CELLS // rows, 1)
    for start in range(0, RESAMPLES, at_once):
        drawn = random.integers(rows, size=(min(at_once, RESAMPLES - start), rows))
        found.append(function(pairs[0][drawn], pairs[1][drawn]))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    if not np.isfinite(value):
        return Agreement(name, None, None, None)
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Agreement(name, value, float(low), float(high))


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one == other).mean(axis=1)


def _kappa(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 less the mean squared difference over the one that chance would give; NaN where chance would give none."""
    by_chance = one.var(axis=1) + other.var(axis=1) + (one.mean(axis=1) - other.mean(axis=1)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - ((one - other) ** 2).mean(axis=1) / by_chance


def _spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of the ranks, ties at their mean; NaN where one side has one score alone."""
    from scipy.stats import rankdata

    one, other = (
        ranks - ranks.mean(axis=1, keepdims=True)
        for ranks in (rankdata(one, axis=1), rankdata(other, axis=1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
