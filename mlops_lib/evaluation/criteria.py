"""The gate's criteria of one model: thresholds, rows, slices, latency and cost. What is in doubt does not hold."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import COUNTED, JudgedRows
from mlops_lib.evaluation.report import Criterion, EvaluationReport
from mlops_lib.wording import apart, listed

if TYPE_CHECKING:
    import numpy as np

    from mlops_lib.settings import Settings
    from mlops_lib.settings.gate import GateSettings

#: Slices and values that a reason lists by name.
LISTED = 5


def known_metrics(report: EvaluationReport) -> list[str]:
    """The metrics of the report that have a direction."""
    return [name for name in report.metrics if name in report.directions]


def check_limits(report: EvaluationReport, thresholds: dict[str, float], min_coverage: float) -> None:
    """Raise EvaluationError unless the report has every metric, and every limit is a usable number."""
    for metric, threshold in thresholds.items():
        if not math.isfinite(threshold):
            raise EvaluationError(f"The threshold for {metric} is {threshold}. Give a finite number.")
    if not 0 <= min_coverage <= 1:
        raise EvaluationError(f"min_coverage is {min_coverage}. Give a share of rows from 0 to 1.")
    for metric in thresholds:
        if metric not in (known := known_metrics(report)):
            raise EvaluationError(
                f"No metric {metric!r} to decide on in the {report.task} report of split {report.split!r}. "
                f"Metrics it has: {', '.join(known) or 'none'}."
            )


def threshold(report: EvaluationReport, metric: str, limit: float, min_coverage: float) -> list[Criterion]:
    """A metric on all rows against its threshold (exactly at it passes), and the share of rows behind the metric."""
    score = report.metrics[metric]
    reason = ""
    if score.value is None:
        reason = f"{metric} has no value: {score.reason or f'none of {score.counted} rows could be scored'}."
    elif missed(score.value, limit, report.directions[metric]):
        reason = short_of(metric, score.value, limit, report.directions[metric])
    missing = ""
    if score.coverage < min_coverage and not score.reason:
        covered, asked = apart(100 * score.coverage, 100 * min_coverage)
        missing = (
            f"{metric} covers {covered}% of the rows; evaluation.min_coverage asks for {asked}%: "
            f"{score.scored} scored, {score.errored} errored, {score.empty} empty."
        )
    uncounted = ""
    if score.rows < report.rows:
        uncounted = f"{metric} accounts for {score.rows} of the {report.rows} rows of split {report.split}."
    found = [
        Criterion(name="threshold", metric=metric, value=score.value, limit=limit, passed=not reason, reason=reason),
        Criterion(name="coverage", metric=metric, value=score.coverage, limit=min_coverage,
                  passed=not missing, reason=missing),
    ]  # fmt: skip
    if uncounted:
        found.append(Criterion(name="coverage", metric=metric, value=score.rows / report.rows, limit=1.0,
                               passed=False, reason=uncounted))  # fmt: skip
    return found


def missed(value: float, limit: float, higher_is_better: bool) -> bool:
    return value < limit if higher_is_better else value > limit


def short_of(metric: str, value: float, limit: float, higher_is_better: bool) -> str:
    """The reason of a missed threshold, with the gap."""
    side = "below" if higher_is_better else "above"
    score, asked = apart(value, limit)
    return f"{metric} {score} is {side} the threshold {asked} by {abs(value - limit):.2g}."


def min_rows(
    report: EvaluationReport, metrics: Iterable[str], least: int, without_weight: int = 0
) -> list[Criterion]:
    """The rows of the split with weight; where one of the metrics leaves rows out, the fewest that a metric counts."""
    if not least:
        return []
    counted = {metric: report.rows - report.metrics[metric].left_out - without_weight for metric in metrics}
    fewest = min(counted, key=lambda metric: counted[metric])
    rows, reason = counted[fewest], ""
    if rows < least:
        has = f"Split {report.split} has {rows} rows"
        if rows < report.rows:
            has = f"{fewest} counts {rows} of the {report.rows} rows of split {report.split}"
        reason = f"{has}; evaluation.gate.min_rows asks for {least}."
    return [Criterion(name="min_rows", value=rows, limit=least, passed=not reason, reason=reason)]


def groups(rows: JudgedRows, gate: "GateSettings") -> "tuple[dict[str, np.ndarray], list[Criterion]]":
    """The rows of each slice, ``column=value`` -> positions, and a criterion for each column with missing or small ones.
    Rows without weight do not make a slice larger.

    Raises:
        EvaluationError: The rows have no such slice.
    """
    import numpy as np

    found: dict[str, np.ndarray] = {}
    criteria = []
    weighed = np.ones(len(rows.ids), bool) if rows.weights is None else np.asarray(rows.weights) > 0
    for column, asked in gate.slices.items():
        if column not in rows.slices:
            raise EvaluationError(
                f"evaluation.gate.slices names {column!r}, which the rows do not have. "
                f"They have: {', '.join(map(repr, rows.slices)) or 'none'}."
            )
        of_rows = np.asarray(rows.slices[column], dtype=object)
        if len(of_rows) != len(rows.ids):
            raise EvaluationError(f"Slice {column!r} has {len(of_rows)} values for {len(rows.ids)} rows.")
        present = sorted({str(value) for value in of_rows})
        sizes = {}
        for value in present if asked == "all" else asked:
            at = np.flatnonzero(of_rows == value)
            sizes[f"{column}={value}"] = size = int(weighed[at].sum())
            if size >= gate.min_slice_rows:
                found[f"{column}={value}"] = at
        small = [name for name, size in sizes.items() if size < gate.min_slice_rows]
        reason = ""
        if small:
            reason = (
                f"evaluation.gate.min_slice_rows asks for {gate.min_slice_rows} rows{'' if weighed.all() else ' with weight'} "
                "in each slice, and there are: "
                f"{listed((f'{name} {sizes[name]}' for name in small), LISTED)}. "
                f"Values in the rows: {listed(present, LISTED)}."
            )
        smallest = min(sizes, key=lambda name: sizes[name], default=column)
        criteria.append(
            Criterion(name="slice_rows", slice=smallest, value=sizes.get(smallest, 0),
                      limit=gate.min_slice_rows, passed=not reason and bool(sizes),
                      reason=reason or ("" if sizes else f"Slice {column!r} has no values."))
        )  # fmt: skip
    return found, criteria


def outside(rows: JudgedRows, gate: "GateSettings") -> list[str]:
    """A sentence for each column with rows that are in none of its slices, since their values are not listed."""
    found = []
    for column, asked in gate.slices.items():
        others = Counter(str(value) for value in rows.slices[column] if asked != "all" and value not in asked)
        if others:
            count = sum(others.values())
            values = listed((f"{name} {number:,}" for name, number in others.most_common()), LISTED)
            found.append(
                f"{count:,} of {len(rows.ids):,} rows ({count / len(rows.ids):.1%}) are in no slice of {column}: {values}."
            )
    return found


def slice_thresholds(
    report: EvaluationReport,
    rows: JudgedRows,
    gate: "GateSettings",
    places: "dict[str, np.ndarray]",
    settings: "Settings",
) -> list[Criterion]:
    """Each metric of ``evaluation.gate.slice_thresholds`` in every slice."""
    from mlops_lib.evaluation.paired import scores

    criteria = []
    for metric, limit in gate.slice_thresholds.items():
        higher = report.directions[metric]
        try:
            values = scores(rows, metric, places, settings)
        except EvaluationError as error:
            criteria.append(
                Criterion(name="slice_threshold", metric=metric, limit=limit, passed=False, reason=str(error))
            )
            continue
        for name, value in values.items():
            reason, known = "", value if math.isfinite(value) else None
            counted = _counted(rows, metric, places[name])
            if counted < gate.min_slice_rows:
                reason = (
                    f"{metric} counts {counted} of the {len(places[name])} rows of {name}; evaluation.gate.min_slice_rows asks "
                    f"for {gate.min_slice_rows}."
                )
            elif known is None:
                reason = f"{metric} has no value on {name}, for example because all rows are of one class."
            elif missed(known, limit, higher):
                reason = f"On {name}, {short_of(metric, known, limit, higher)}"
            criteria.append(
                Criterion(name="slice_threshold", metric=metric, slice=name, value=known, limit=limit,
                          passed=not reason, reason=reason)
            )  # fmt: skip
    return criteria


def _counted(rows: JudgedRows, metric: str, at: "np.ndarray") -> int:
    """How many of the rows at these positions a metric of text does not leave out."""
    counts = rows.facts.get(f"{metric}{COUNTED}")
    return len(at) if counts is None else sum(bool(counts[place]) for place in at)


def latency_and_cost(rows: JudgedRows, gate: "GateSettings") -> list[Criterion]:
    """The 95th percentile of the milliseconds a row, and the mean US dollars a row, against their limits."""
    import numpy as np

    found = []
    if gate.max_latency_ms:
        value = None
        if len(rows.latency_s):
            value = 1000 * float(np.percentile(np.asarray(rows.latency_s, float), 95, method="higher"))
        found.append(_limit("latency", value, gate.max_latency_ms, "evaluation.gate.max_latency_ms",
                            "A row takes {} ms at the 95th percentile"))  # fmt: skip
    if gate.max_cost_usd:
        complete = len(rows.cost_usd) == len(rows.ids) > 0
        value = float(np.mean(np.asarray(rows.cost_usd, float))) if complete else None
        found.append(_limit("cost", value, gate.max_cost_usd, "evaluation.gate.max_cost_usd",
                            "A row costs {} US dollars on average"))  # fmt: skip
    return found


def _limit(name: str, value: float | None, limit: float, key: str, says: str) -> Criterion:
    if value is None or not math.isfinite(value):
        reason = f"{key} is {limit:g}, and the {name} of the rows was not measured. Evaluate the model again."
        return Criterion(name=name, limit=limit, passed=False, reason=reason)
    found, most = apart(value, limit)
    reason = f"{says.format(found)}; {key} is {most}." if value > limit else ""
    return Criterion(name=name, value=value, limit=limit, passed=not reason, reason=reason)
