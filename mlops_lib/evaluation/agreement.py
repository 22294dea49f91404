"""Agreement of a judge with people who scored the same answers, with intervals."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES, CONFIDENCE, SEED = 2_000, 0.95, 0
#: Most resamples in work at once, times the judge's scores.
MAX_CELLS = 4_000_000


class Agreement(NamedTuple):
    """One measure; None where it is not defined, for example for people who gave one score to all answers."""

    name: str
    value: float | None
    low: float | None
    high: float | None


def agreement(judge: Sequence[Sequence[int]], people: Sequence[int], scale: Sequence[int]) -> list[Agreement]:
    """Share of equal scores, Cohen's kappa with quadratic weights (Cohen 1968),
    and Spearman's rank correlation.

    Share and kappa take each score of the judge as a rating of its own,
    the correlation takes the mean of a row.

    Args:
        judge: Scores [rows, repeats] on the scale.
        people: Scores [rows] on the scale.
        scale: Its scores, ascending. Kappa weighs by their positions.

    Returns:
        Each with a 95 % interval from 2,000 resamples of the rows; a resample without a value is left out.
    """
    ours, theirs = np.array(judge), np.array(people)[:, None]
    positions = (np.searchsorted(scale, ours).astype(float), np.searchsorted(scale, theirs).astype(float))
    return [
        _measured("same score", _same, *positions),
        _measured("Cohen's kappa, quadratic", _kappa, *positions),
        _measured("Spearman", _spearman, ours.mean(axis=1), theirs[:, 0]),
    ]


def table(judge: Sequence[Sequence[int]], people: Sequence[int], scale: Sequence[int]) -> "pd.DataFrame":
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
    name: str, function: Callable[[np.ndarray, np.ndarray], np.ndarray], ours: np.ndarray, theirs: np.ndarray
) -> Agreement:
    """A measure of all rows, and its interval; `function` takes scores [resamples, rows, ...]."""
    value = float(function(ours[None], theirs[None])[0])
    if not np.isfinite(value):
        return Agreement(name, None, None, None)
    rows = len(ours)
    random, found = np.random.default_rng(SEED), []
    at_once = max(MAX_CELLS // ours.size, 1)
    for start in range(0, RESAMPLES, at_once):
        drawn = random.integers(rows, size=(min(at_once, RESAMPLES - start), rows))
        found.append(function(ours[drawn], theirs[drawn]))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Agreement(name, value, float(low), float(high))


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one == other).mean(axis=(1, 2))


def _kappa(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 less the mean squared difference over the one that chance would give;
    NaN where chance would give none."""
    both = (1, 2)
    by_chance = one.var(axis=both) + other.var(axis=both) + (one.mean(axis=both) - other.mean(axis=both)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - ((one - other) ** 2).mean(axis=both) / by_chance


def _spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of the ranks, ties at their mean; NaN where one side has one score alone."""
    from scipy.stats import rankdata

    one, other = (
        ranks - ranks.mean(axis=1, keepdims=True)
        for ranks in (rankdata(one, axis=1), rankdata(other, axis=1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
