"""What an interval of a difference says: better, not worse, worse or undecided,
and how many rows would decide."""

import math

import numpy as np

from mlops_lib.evaluation.report import Outcome

#: Usual margin: this share of a metric's range, else of the champion's score.
OF_RANGE, OF_SCORE = 0.01, 0.02
#: Share of the resamples that may be without a value; they are then left out.
MAX_UNDEFINED = 0.01
#: `rows_needed` of a comparison that no number of rows decides, and of any larger number.
MAX_ROWS = 1_000_000_000


def usual_margin(lowest: float, highest: float, champion: float) -> float:
    """How much worse than the champion a model may be, if config.yaml does not say."""
    span = highest - lowest
    return OF_RANGE * span if math.isfinite(span) else OF_SCORE * abs(champion)


def fewest_entities(confidence: float) -> int:
    """Entities on which two models must differ before one can be better: with fewer,
    no test has this confidence.

    If all of k entities favour one model, the exact sign test has p = 2 / 2**k.
    """
    return math.ceil(1 - math.log2(1 - confidence) - 1e-9)


def interval(differences: np.ndarray, entities: int, confidence: float) -> tuple[float, float]:
    """Two-sided percentile interval of resampled differences, widened for few entities.

    The bootstrap's interval is too narrow for small samples; Hesterberg (2015, The American Statistician 69,
    371-386) widens it by the ratio of Student's t to the normal distribution.
    """
    from scipy import stats

    tail = (1 - confidence) / 2
    if entities > 1:
        tail = stats.norm.cdf(stats.t.ppf(tail, entities - 1) * math.sqrt(entities / (entities - 1)))
    else:
        tail = 0.0
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def of_dependent(wider: float, entities: int, confidence: float) -> float:
    """How many times wider an interval must be in all, if dependence of its entities widens it `wider` times.

    The entities are worth ``entities / wider**2`` independent ones (Thiébaux and Zwiers 1984, Journal of Climate and
    Applied Meteorology 23, 800-811), and Student's t has the degrees of freedom of these.
    """
    from scipy import stats

    worth = max(entities / wider**2, 2.0)
    if wider <= 1 or worth >= entities:
        return wider
    tail = (1 + confidence) / 2
    return wider * float(stats.t.ppf(tail, worth - 1) / stats.t.ppf(tail, entities - 1))


def outcome(low: float, high: float, margin: float) -> Outcome:
    """What the interval [low, high] of the difference says; a difference above 0 favours the challenger."""
    if low > 0:
        return "better"
    if low >= -margin:
        return "not_worse"
    return "worse" if high < 0 else "undecided"


def rows_needed(difference: float, low: float, high: float, margin: float, rows: int) -> int:
    """Rows that would decide, if the difference stays and the interval shrinks with
    the square root of the rows."""
    factors = []
    if difference + margin > 0:
        factors.append((difference - low) / (difference + margin))
    if difference < 0:
        factors.append((high - difference) / -difference)
    # At least one row more: these rows do not decide.
    return capped(max(rows * min(factors) ** 2, rows + 1)) if factors else MAX_ROWS


def capped(rows: float) -> int:
    return int(min(math.ceil(rows), MAX_ROWS)) if math.isfinite(rows) else MAX_ROWS
