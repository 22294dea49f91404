"""The gate between evaluating a model and registering it. A score in doubt does not pass."""

import math

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.report import EvaluationReport, Verdict


def decide(report: EvaluationReport, metric: str, threshold: float, min_coverage: float = 1.0) -> Verdict:
    """Hold one metric of a report against a threshold; exactly at the threshold passes.

    Args:
        report: Scores; its `directions` say whether higher or lower values of the metric are better.
        metric: Name of a metric in the report.
        threshold: In the metric's own unit.
        min_coverage: Least share of the rows that must have been scored, 0 to 1.

    Raises:
        EvaluationError: The report has no such metric or no direction for it, or a limit is not a usable number.
    """
    if not math.isfinite(threshold):
        raise EvaluationError(f"The threshold for {metric} is {threshold}. Give a finite number.")
    if not 0 <= min_coverage <= 1:
        raise EvaluationError(f"min_coverage is {min_coverage}. Give a share of rows from 0 to 1.")
    known = [name for name in report.metrics if name in report.directions]
    if metric not in known:
        raise EvaluationError(
            f"No metric {metric!r} to decide on in the {report.task} report of split {report.split!r}. "
            f"Metrics it has: {', '.join(known) or 'none'}."
        )
    higher_is_better = report.directions[metric]
    score = report.metrics[metric]
    reasons = []
    if score.value is None:
        why = score.reason or f"none of {score.rows} rows could be scored"
        reasons.append(f"{metric} has no value: {why}.")
    elif score.value < threshold if higher_is_better else score.value > threshold:
        # The gap is printed too: a near miss would otherwise read "0.75 is below 0.75".
        side, gap = "below" if higher_is_better else "above", abs(score.value - threshold)
        reasons.append(f"{metric} {score.value:.4g} is {side} the threshold {threshold:.4g} by {gap:.2g}.")
    if score.coverage < min_coverage and not score.reason:
        reasons.append(
            f"{metric} covers {score.coverage:.2%} of the rows; evaluation.min_coverage asks for {min_coverage:.2%}: "
            f"{score.scored} scored, {score.errored} errored, {score.empty} empty."
        )
    if score.rows < report.rows:
        reasons.append(
            f"{metric} accounts for {score.rows} of the {report.rows} rows of split {report.split}."
        )
    return Verdict(
        passed=not reasons,
        metric=metric,
        score=score.value,
        threshold=threshold,
        higher_is_better=higher_is_better,
        reasons=tuple(reasons),
    )
