"""The gate between evaluating a model and registering it. A model in doubt does not pass."""

from typing import TYPE_CHECKING

from mlops_lib.errors import EvaluationError, PluginError
from mlops_lib.evaluation import criteria as checks
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import Comparison, Criterion, EvaluationReport, Opponent, Outcome, Verdict
from mlops_lib.evaluation.scored_with import scored_with

if TYPE_CHECKING:
    import numpy as np

    from mlops_lib.settings import Settings
    from mlops_lib.settings.gate import GateSettings

#: From the worst to the best; the verdict has the worst outcome of all comparisons.
OUTCOMES: tuple[Outcome, ...] = ("worse", "undecided", "not_worse", "better")
NO_CHAMPION = "No version is at Production, so the thresholds alone decide."
NOT_COMPARED = "evaluation.gate.champion is false, so the model was not compared with the champion."


def decide(
    report: EvaluationReport,
    metric: str,
    threshold: float,
    min_coverage: float = 1.0,
    *,
    settings: "Settings | None" = None,
    candidate: JudgedRows | None = None,
    champion: Champion | None = None,
    run_id: str = "",
    digest: str = "",
    fingerprint: str = "",
) -> Verdict:
    """Hold a model against the threshold of one metric; with `settings`,
    against all criteria of ``evaluation.gate``.

    Args:
        report: Scores; its `directions` say whether higher or lower values of a metric are better.
        metric: Name of a metric in the report.
        threshold: In the metric's own unit; exactly at the threshold passes.
        min_coverage: Least share of the rows that must have been scored, 0 to 1.
        settings: With section ``evaluation.gate``. None: the threshold and the coverage alone decide.
        candidate: The model's predictions; slices, latency, cost and the comparison need them.
        champion: The version at Production, and its predictions for the same rows. None:
            there is no such version.
        run_id, digest: The model's run and the SHA-256 of its files, so that it is not compared with itself.
        fingerprint: Of the data; kept in the verdict.

    Raises:
        EvaluationError: The report has no such metric or no direction for it, the rows have no such slice,
            or a limit is not a usable number.
    """
    gate = settings.evaluation.gate if settings else None
    thresholds = {metric: threshold} | (gate.thresholds if gate else {})
    thresholds[metric] = threshold
    limits = thresholds | ({} if gate is None else gate.slice_thresholds | gate.margins)
    checks.check_limits(report, limits, min_coverage)
    criteria = [
        criterion
        for name, limit in thresholds.items()
        for criterion in checks.threshold(report, name, limit, min_coverage)
    ]
    comparisons: list[Comparison] = []
    notes: list[str] = []
    if gate is not None and settings is not None:
        criteria += checks.min_rows(report, thresholds, gate.min_rows, _without_weight(candidate))
        places: dict[str, np.ndarray] = {}
        if candidate is not None:
            places, found = checks.groups(candidate, gate)
            notes += checks.outside(candidate, gate)
            criteria += [*found, *_rows(report, candidate)]
            criteria += checks.slice_thresholds(report, candidate, gate, places, settings)
            criteria += checks.latency_and_cost(candidate, gate)
        elif gate.slices or gate.max_latency_ms or gate.max_cost_usd:
            criteria.append(_refusal("slices, latency and cost", "The model's predictions were not kept."))
        if not gate.champion:
            notes.append(NOT_COMPARED)
        elif champion is None:
            notes.append(NO_CHAMPION)
        else:
            problem = _problem(candidate, champion, run_id, digest)
            try:
                comparisons = [] if problem else _compare(candidate, champion, metric, gate, places, settings)
            except (EvaluationError, PluginError) as error:
                problem = str(error)
            criteria += [_refusal("champion", problem)] if problem else []
            criteria += [_of_comparison(one, champion, gate) for one in comparisons]
    compared = gate is not None and gate.champion and champion is not None
    return Verdict(
        passed=all(criterion.passed for criterion in criteria),
        metric=metric,
        score=report.metrics[metric].value,
        threshold=threshold,
        higher_is_better=report.directions[metric],
        reasons=tuple(criterion.reason for criterion in criteria if not criterion.passed),
        outcome=min((one.outcome for one in comparisons), key=OUTCOMES.index, default=None),
        champion=_opponent(champion) if compared and champion else None,
        criteria=tuple(criteria),
        comparisons=tuple(comparisons),
        note=" ".join(notes),
        fingerprint=fingerprint,
        resamples=gate.resamples if gate and comparisons else 0,
        confidence=gate.confidence if gate and comparisons else 0.0,
        seed=gate.seed if gate and comparisons else 0,
        settings=scored_with(settings) if settings else {},
    )


def _without_weight(candidate: JudgedRows | None) -> int:
    """Rows that no metric counts."""
    if candidate is None or candidate.weights is None:
        return 0
    return sum(weight == 0 for weight in candidate.weights)


def _rows(report: EvaluationReport, candidate: JudgedRows) -> list[Criterion]:
    if len(candidate.ids) == report.rows:
        return []
    return [
        _refusal("champion", f"The report has {report.rows} rows, and the predictions {len(candidate.ids)}.")
    ]


def _problem(candidate: JudgedRows | None, champion: Champion, run_id: str, digest: str) -> str:
    """Why the model cannot be compared with the champion; "" if it can."""
    who = f"version {champion.version} of {champion.name!r}, which is at Production"
    if champion.problem:
        return f"The model could not be compared with {who}: {champion.problem}"
    if (run_id and run_id == champion.run_id) or (digest and digest == champion.digest):
        return f"The model is {who}: a model is not compared with itself."
    if candidate is None or champion.rows is None:
        whose = "model" if candidate is None else "champion"
        return f"The model could not be compared with {who}: the {whose}'s predictions are missing."
    return ""


def _compare(
    candidate: JudgedRows | None,
    champion: Champion,
    metric: str,
    gate: "GateSettings",
    places: "dict[str, np.ndarray]",
    settings: "Settings",
) -> list[Comparison]:
    from mlops_lib.evaluation.paired import compare

    assert candidate is not None and champion.rows is not None
    return compare(
        candidate,
        champion.rows,
        {metric: None, **gate.margins},
        places,
        resampled=gate.resamples,
        confidence=gate.confidence,
        seed=gate.seed,
        settings=settings,
    )


def _of_comparison(one: Comparison, champion: Champion, gate: "GateSettings") -> Criterion:
    """Whether an outcome passes, with the reason if it does not."""
    from mlops_lib.evaluation.verdict_text import sentence

    passed = one.outcome == "better" or (one.outcome == "not_worse" and gate.require == "not_worse")
    reason = "" if passed else sentence(one, champion.version, gate.confidence)
    if not passed and one.outcome == "not_worse":
        reason += " evaluation.gate.require asks for better."
    return Criterion(
        name="champion",
        metric=one.metric,
        slice=one.slice,
        value=one.difference,
        passed=passed,
        reason=reason,
    )


def _refusal(name: str, reason: str) -> Criterion:
    return Criterion(name=name, passed=False, reason=reason)


def _opponent(champion: Champion) -> Opponent:
    return Opponent(
        name=champion.name, version=champion.version, run_id=champion.run_id, digest=champion.digest
    )
