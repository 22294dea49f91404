"""A comparison as sentences and tables of text, the same for terminal, Markdown and HTML."""

from collections.abc import Sequence
from typing import NamedTuple

from mlops_lib.comparison.result import Against, ChangedRow, ComparisonReport, Side
from mlops_lib.evaluation.report import Comparison
from mlops_lib.evaluation.verdict_text import WORDS, differences, score_text, sentence
from mlops_lib.wording import percent

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


class Headline(NamedTuple):
    """The outcome of one version, and the reasons in sentences."""

    outcome: str
    text: str


def title(report: ComparisonReport) -> str:
    *others, last = [str(one.side.version) for one in report.against]
    named = f"versions {', '.join(others)} and {last}" if others else f"version {last}"
    return f"{report.name}: {named} against version {report.reference.version}"


def headlines(report: ComparisonReport) -> list[Headline]:
    """One for each version that is compared with the reference."""
    found = []
    for one in report.against:
        decisive = [c for c in one.comparisons if c.metric in report.gate_metrics]
        reasons = [sentence(c, report.reference.version, report.confidence) for c in decisive]
        text = " ".join(reasons) or "No row was judged: which is better is unknown."
        found.append(
            Headline(
                outcome_of(one), f"{one.side.label[0].upper()}{one.side.label[1:]}{_stage(one.side)}: {text}"
            )
        )
    return found


def outcome_of(one: Against) -> str:
    return WORDS[one.outcome] if one.outcome else "unknown"


def metrics(report: ComparisonReport) -> Table:
    """A row for each metric and version, with the interval of the difference."""
    head = (
        "metric", "version", "outcome", "difference", f"{percent(report.confidence)} interval", "score",
        report.reference.label, "margin",
    )  # fmt: skip
    rows = []
    for metric, higher in report.directions.items():
        name = f"{metric} {'↑' if higher else '↓'}"
        for one in report.against:
            for c in (each for each in one.comparisons if each.metric == metric):
                rows.append((name, str(one.side.version), WORDS[c.outcome], *_numbers(c)))
                name = ""  # once for the versions of one metric
    return head, rows


def change_name(report: ComparisonReport) -> str:
    """The name of the quantity that changes in a row; a positive change is better."""
    names = {
        "classification": "change of P(truth)",
        "regression": "error smaller by",
        "forecast": "error smaller by",
        "ranking": "places better by",
        "loss": "loss smaller by",
        "multilabel": "mean error smaller by",
        "multioutput": "mean error smaller by, in ranges of the labels",
    }
    return names.get(report.task, f"change of {report.row_metric}")


def sides(report: ComparisonReport) -> Table:
    """A row for each version: stage, latency, cost, failures and rows that changed.
    Columns without a value are left out."""
    priced = any(side.cost_usd is not None for side in report.sides)
    changed = [""] + [f"{one.changed:,}" if report.rows else "" for one in report.against]
    found = [
        (
            str(side.version),
            side.stage,
            _ms(side.latency_ms),
            _ms(side.latency_p95_ms),
            ("unknown" if priced else "") if side.cost_usd is None else f"${side.cost_usd:.6f}",
            f"{side.failed:,}" if any(one.failed for one in report.sides) else "",
            different,
        )
        for side, different in zip(report.sides, changed, strict=True)
    ]
    head = ("version", "stage", "median ms", "p95 ms", "cost a row", "failed rows", "changed rows")
    used = [at for at in range(len(head)) if any(row[at] for row in found)]
    return tuple(head[at] for at in used), [tuple(row[at] for at in used) for row in found]


def remarks(report: ComparisonReport) -> list[str]:
    """Sentences about the rows, in the order of importance."""
    found = [f"Rows: {report.source}."]
    if report.rows:
        entities = f" of {report.entities:,} entities" if report.entities != report.rows else ""
        found.append(
            f"Judged: {report.rows:,} rows{entities}; {report.resamples:,} resamples, seed {report.seed}. A positive "
            "difference is better, also where a lower score is (↓)."
        )
    if agreed := report.agreement:
        share = f" ({agreed.different / agreed.rows:.1%})" if agreed.rows else ""
        largest = f"; the largest difference is {agreed.largest:.4g}" if agreed.largest is not None else ""
        where = f" (request and row {agreed.at})" if agreed.at else ""
        found.append(
            f"Agreement: the predictions of {agreed.different:,} of {agreed.rows:,} rows{share} differ{largest}{where}."
        )
    if report.left_out:
        parts = [f"{count:,} {reason}" for reason, count in report.left_out.items()]
        found.append(f"Left out: {'; '.join(parts)}.")
    return [*found, *report.notes]


def row_text(row: ChangedRow) -> str:
    """The name of a row, and the row where it is known."""
    return f"{row.name}: {row.input}" if row.input else row.name


def change(row: ChangedRow) -> str:
    return "one has no prediction" if row.change is None else f"{row.change:+.3g}"


def _numbers(c: Comparison) -> Sequence[str]:
    difference, interval, margin = differences(c)
    scores = ["none" if one is None else score_text(one) for one in (c.challenger, c.champion)]
    return difference or "none", interval or "none", *scores, margin


def _stage(side: Side) -> str:
    return f" ({side.stage})" if side.stage and side.stage != "None" else ""


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
