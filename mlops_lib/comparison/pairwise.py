"""Compares each of several models with a reference on the same rows, in all metrics."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.comparison.changed import changed_rows, missing
from mlops_lib.comparison.result import Against, ComparisonReport, Side
from mlops_lib.evaluation import paired
from mlops_lib.evaluation.gate import OUTCOMES
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.metrics.interface import chosen
from mlops_lib.evaluation.paired.models import Model
from mlops_lib.evaluation.tasks.text import DEFAULT_METRICS
from mlops_lib.settings import Settings


def compare_models(
    settings: Settings,
    source: str,
    models: Sequence[tuple[Side, JudgedRows]],
    inputs: Sequence[str],
    names: Sequence[str] = (),
    **more: Any,
) -> ComparisonReport:
    """Compare the models after the first with the first.

    Args:
        settings: `evaluation` chooses metrics, margins and the bootstrap.
        source: Where the rows come from, for readers.
        models: Each with its predictions for the same rows in the same order.
        inputs: The rows as text, N; empty: not known.
        names: Of the rows, N, for readers; empty: the ids.
        more: Further fields of the report.

    Raises:
        EvaluationError: The rows are not the same, or cannot be scored.
    """
    evaluation, gate = settings.evaluation, settings.evaluation.gate
    rows = [judged for _, judged in models]
    metrics, notes = _metrics(settings, rows)
    decisive = [name for name in evaluation.margins if name in metrics]
    found = [
        paired.compare(
            other, rows[0], {name: gate.margins.get(name) for name in metrics},
            resampled=gate.resamples, confidence=gate.confidence, seed=gate.seed, settings=settings,
        )
        for other in rows[1:]
    ]  # fmt: skip
    read = Model(rows[0], rows[0], settings)
    directions = {name: bool(read.metric(name).higher_is_better) for name in metrics}
    counts, changed = changed_rows(
        rows[0], rows[1:], inputs, evaluation.metric, directions.get(evaluation.metric, True), names
    )
    sides = [_with_facts(side, judged) for side, judged in models]
    against = [
        Against(
            side=side,
            outcome=min(
                (c.outcome for c in of_side if c.metric in decisive), key=OUTCOMES.index, default=None
            ),
            comparisons=tuple(of_side),
            changed=count,
        )
        for side, of_side, count in zip(sides[1:], found, counts, strict=True)
    ]
    return ComparisonReport(
        name=sides[0].name,
        source=source,
        task=evaluation.task,
        reference=sides[0],
        against=tuple(against),
        gate_metrics=tuple(decisive),
        row_metric=evaluation.metric,
        directions=directions,
        rows=len(rows[0].ids),
        entities=len(set(rows[0].entities)),
        changed_rows=tuple(changed),
        resamples=gate.resamples,
        confidence=gate.confidence,
        seed=gate.seed,
        notes=(*notes, *more.pop("notes", ())),
        **more,
    )


def _metrics(settings: Settings, rows: Sequence[JudgedRows]) -> tuple[list[str], list[str]]:
    """The metrics that all models have, and notes about those that some lack."""
    task = settings.evaluation.task
    if task != "text":
        return chosen(task, settings), []
    names = chosen(task, settings, DEFAULT_METRICS)
    known = [name for name in names if all(name in judged.values for judged in rows)]
    lacking = [name for name in names if name not in known]
    return known, [f"{', '.join(lacking)}: not all versions have scores of it." for _ in lacking[:1]]


def _with_facts(side: Side, rows: JudgedRows) -> Side:
    """The side with what its rows say of latency, cost and failures, where it is not known already."""
    facts: dict[str, Any] = {"failed": sum(missing(rows, at) for at in range(len(rows.ids)))}
    if len(rows.latency_s) and side.latency_ms is None:
        median, slow = np.percentile(np.asarray(rows.latency_s, dtype=float) * 1e3, [50, 95])
        facts |= {"latency_ms": float(median), "latency_p95_ms": float(slow)}
    cost = float(np.mean(rows.cost_usd)) if len(rows.cost_usd) else math.nan
    if math.isfinite(cost):  # a call of a model without a price has none
        facts["cost_usd"] = cost
    return side.model_copy(update=facts)
