"""Compare a challenger with the champion on the same rows, in total and on slices."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired import outcome, resamples
from mlops_lib.evaluation.paired.models import Model
from mlops_lib.evaluation.paired.rows import check_same, same_classes
from mlops_lib.evaluation.paired.sums import Statistic
from mlops_lib.evaluation.report import Comparison

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

#: Share of a score up to which a difference is a rounding error.
ROUNDING = 1e-12


def compare(
    challenger: JudgedRows,
    champion: JudgedRows,
    metrics: Mapping[str, float | None],
    groups: Mapping[str, np.ndarray] | None = None,
    *,
    resampled: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
    settings: "Settings | None" = None,
) -> list[Comparison]:
    """Compare two models by a paired bootstrap over entities: every metric on all rows, then on each group.

    Args:
        challenger: Its predictions for N rows.
        champion: Its predictions for the same rows in the same order.
        metrics: Metric -> margin in its unit; None: the usual margin.
        groups: Name of a slice, as ``column=value`` -> positions of its rows.
        resampled: Number of resamples.
        confidence: Of the two-sided intervals, between 0.5 and 1.
        seed: Of the resamples.
        settings: Of the task's metrics; None: their defaults.

    Raises:
        PluginError: A metric does not exist.
        EvaluationError: The rows are not the same, or hold values that cannot be scored, or a metric failed.
    """
    check_same(challenger, champion)
    # Of the rows; settings may have changed in between.
    champion = replace(champion, facts=challenger.facts, references=challenger.references)
    if challenger.task == "classification":
        challenger, champion = same_classes(challenger, champion)
    ours, theirs = Model(challenger, champion, settings), Model(champion, challenger, settings)
    codes = resamples.codes(challenger.entities)
    places = {"": np.arange(len(codes))} | {n: np.asarray(rows, int) for n, rows in (groups or {}).items()}
    contests = [
        _Contest(ours, theirs, metric, name, codes, places[name]) for name in places for metric in metrics
    ]
    waiting = [contest for contest in contests if contest.has_value]
    for counts in resamples.blocks(codes, resampled, seed) if waiting else ():
        of_slice = {"": counts}
        for contest in waiting:
            if contest.slice not in of_slice:  # one at a time, since slices may be many
                of_slice = {"": counts, contest.slice: counts.take(contest.rows, axis=1)}
            contest.draw(of_slice[contest.slice])
    return [contest.result(metrics[contest.metric], confidence) for contest in contests]


def scores(rows: JudgedRows, metric: str, groups: Mapping[str, np.ndarray],
           settings: "Settings | None" = None) -> dict[str, float]:  # fmt: skip
    """One model's metric on each group of rows; NaN where it has no value. Raises as `compare` does."""
    model = Model(rows, rows, settings)
    places = {name: np.asarray(found, int) for name, found in groups.items()}
    return {
        name: float(model.statistic(metric, found)(np.ones((1, len(found))))[0]) if len(found) else np.nan
        for name, found in places.items()
    }


@dataclass
class _Contest:
    """Two models in one metric, on some rows."""

    ours: Model
    theirs: Model
    metric: str
    slice: str
    codes: np.ndarray
    rows: np.ndarray
    drawn: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pair: tuple[Statistic, Statistic] = (
            self.ours.statistic(self.metric, self.rows),
            self.theirs.statistic(self.metric, self.rows),
        )
        found = self.ours.metric(self.metric)
        self._sign, self._bounds = (1 if found.higher_is_better else -1), (found.lowest, found.highest)
        once = np.ones((1, len(self.rows)))
        self._challenger, self._champion = (float(one(once)[0]) for one in self._pair)
        self.has_value = bool(np.isfinite(self._challenger) and np.isfinite(self._champion))

    def draw(self, counts: np.ndarray) -> None:
        """Add the differences on a block of resamples, counts of the rows [b, M]."""
        challenger, champion = self._pair
        self.drawn.append(self._difference(challenger(counts), champion(counts)))

    def _difference(self, challenger: np.ndarray, champion: np.ndarray) -> np.ndarray:
        """Positive where the challenger is better; differences that are rounding errors are 0."""
        found = self._sign * (challenger - champion)
        return np.where(np.abs(found) <= ROUNDING * np.abs(champion), 0.0, found)

    def result(self, margin: float | None, confidence: float) -> Comparison:
        if not self.has_value:
            return self._comparison(
                margin or 0.0, outcome="undecided", rows_needed=outcome.MAX_ROWS,
                reason=f"{self.metric} has no value on these rows: "
                + (self.ours.undefined(self.metric, self.rows) or self.theirs.undefined(self.metric, self.rows)),
            )  # fmt: skip
        if margin is None:
            margin = outcome.usual_margin(*self._bounds, self._champion)
        every = np.concatenate(self.drawn)
        drawn = every[np.isfinite(every)]
        undefined = len(every) - len(drawn)
        difference = float(self._difference(np.array(self._challenger), np.array(self._champion)))
        if undefined > outcome.MAX_UNDEFINED * len(every):
            share = undefined / len(every)
            rarer = np.log(outcome.MAX_UNDEFINED) / np.log(share) if share < 1 else np.inf
            return self._comparison(
                margin, difference=difference, undefined=undefined, outcome="undecided",
                rows_needed=outcome.capped(len(self.rows) * rarer),
                reason=f"{self.metric} has no value on {share:.0%} of the resamples: a slice or a class has too few rows",
            )  # fmt: skip
        low, high = outcome.interval(drawn, self._entities(), confidence)
        if (wider := self.ours.widening(self.theirs, self.rows, self.codes[self.rows])) > 1:
            wider = outcome.of_dependent(wider, self._entities(), confidence)
            # No end moves inwards: the difference of a skewed metric may lie outside of its interval.
            low = min(low, difference - wider * (difference - low))
            high = max(high, difference + wider * (high - difference))
        decided, needed, reason = self._decide(difference, low, high, margin, confidence)
        return self._comparison(
            margin, difference=difference, low=low, high=high, smallest_difference=(high - low) / 2,
            undefined=undefined, outcome=decided, rows_needed=needed, reason=reason,
        )  # fmt: skip

    def _decide(
        self, difference: float, low: float, high: float, margin: float, confidence: float
    ) -> tuple[outcome.Outcome, int, str]:
        """The outcome, the rows that would decide, and why the interval alone does not decide."""
        found = outcome.outcome(low, high, margin)
        entities, fewest = self._entities(), outcome.fewest_entities(confidence)
        changed = self.ours.changed(self.theirs, self.metric) & self.ours.counted(self.metric)
        differ = len(np.unique(self.codes[self.rows][changed[self.rows]]))
        if differ and entities < fewest:
            needed = outcome.capped(len(self.rows) * fewest / entities)
            return "undecided", needed, f"{_count(entities, 'entity', 'entities')}, and {fewest} are needed"
        if found in ("better", "worse") and differ < fewest:
            reason = f"the models differ on {_count(differ, 'entity', 'entities')}, and {fewest} are needed"
            if low >= -margin:
                return "not_worse", 0, reason
            return "undecided", outcome.capped(len(self.rows) * fewest / differ), reason
        needed = (
            outcome.rows_needed(difference, low, high, margin, len(self.rows)) if found == "undecided" else 0
        )
        return found, needed, ""

    def _entities(self) -> int:
        return len(np.unique(self.codes[self.rows][self.ours.counted(self.metric)[self.rows]]))

    def _comparison(self, margin: float, **facts: object) -> Comparison:
        values = {"champion": self._champion, "challenger": self._challenger}
        return Comparison(
            metric=self.metric, slice=self.slice, margin=margin, rows=len(self.rows), entities=self._entities(),
            mcnemar_p=self.ours.mcnemar_p(self.theirs, self.rows),
            **{name: value if np.isfinite(value) else None for name, value in values.items()},
            **facts,
        )  # type: ignore[arg-type]  # fmt: skip


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
