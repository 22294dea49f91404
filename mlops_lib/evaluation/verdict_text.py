"""A verdict in words: sentences for its reasons, and tables for a notebook and a terminal."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from mlops_lib.evaluation.report import Comparison, Criterion, Outcome, Verdict
from mlops_lib.wording import apart, percent

#: Outcome -> how the model stands to a version.
AGAINST: dict[Outcome, str] = {
    "better": "better than",
    "not_worse": "not worse than",
    "worse": "worse than",
    "undecided": "undecided against",
}
WORDS = {found: words.rpartition(" ")[0] for found, words in AGAINST.items()}
#: `rows_needed` where no number of rows decides, and rows of a table before it is shortened.
TOO_MANY_ROWS, MAX_LINES = 1_000_000_000, 20
#: A score this near its threshold, as a share of it, may round to the other side.
NEAR = 1e-4
#: Significant digits with which a lower end is told from the margin.
MOST_DIGITS = 6
Row = TypeVar("Row")
HEADER_OF_CRITERIA = ("criterion", "metric", "rows", "value", "limit", "holds")
HEADER_OF_COMPARISONS = ("metric", "rows", "champion", "challenger", "difference", "interval", "margin",
                         "smallest visible", "outcome")  # fmt: skip


def plain(verdict: Verdict) -> str:
    """The verdict as a terminal shows it."""
    tables = (_aligned(header, lines) + more for header, lines, more in _tables(verdict))
    first = (" ".join(verdict.reasons), _asked(verdict)) if verdict.reasons else (_asked(verdict),)
    return "\n\n".join((f"{_word(verdict)}: " + "\n".join(first), *tables))


def markdown(verdict: Verdict) -> str:
    """The verdict as a notebook shows it."""
    first = [f"**{_word(verdict).capitalize()}**: {_asked(verdict)}"]
    if verdict.reasons:
        reasons = "\n".join(f"- {_escaped(reason)}" for reason in verdict.reasons)
        first = [f"**{_word(verdict).capitalize()}**:", reasons, _asked(verdict)]
    tables = (_piped(header, lines) + more for header, lines, more in _tables(verdict))
    return "\n\n".join((*first, *tables))


def headline(verdict: Verdict) -> str:
    """The verdict in a few words: whether the threshold holds,
    and the outcome against the version at Production."""
    holds = all(
        one.passed for one in verdict.criteria if (one.name, one.metric) == ("threshold", verdict.metric)
    )
    parts = [f"threshold {verdict.threshold:g}" + ("" if holds else " missed")]
    if verdict.champion:
        version = f"version {verdict.champion.version} at Production"
        parts.append(f"{AGAINST[verdict.outcome] if verdict.outcome else 'not compared with'} {version}")
    elif verdict.note:
        parts.append(f"{verdict.note[0].lower()}{verdict.note[1:]}".rstrip("."))
    return f"{_word(verdict)} ({'; '.join(parts)})"


def sentence(one: Comparison, version: int, confidence: float) -> str:
    """The outcome of a comparison with the numbers behind it."""
    where = f" on {one.slice}" if one.slice else ""
    found = f"{one.metric}{where} is {AGAINST[one.outcome]} version {version}"
    if one.challenger is not None and one.champion is not None:
        found += f": {score_text(one.challenger)} against {score_text(one.champion)}"
    if one.difference is not None and one.low is not None:
        difference, interval, margin = differences(one)
        found += f", difference {difference}, {percent(confidence)} interval {interval}, margin {margin}"
    reason = one.reason if one.reason.startswith(one.metric) else f"{one.reason[:1].upper()}{one.reason[1:]}"
    why = f" {reason}." if reason else ""
    return f"{found}.{why}{_rows_needed(one)}"


def _rows_needed(one: Comparison) -> str:
    if one.outcome != "undecided":
        return ""
    if one.rows_needed >= TOO_MANY_ROWS:
        return f" It is not known how many rows would decide; there are {one.rows:,}."
    return f" About {one.rows_needed:,} rows would decide; there are {one.rows:,}."


def _word(verdict: Verdict) -> str:
    return "passed" if verdict.passed else "refused"


def _asked(verdict: Verdict) -> str:
    """The score and its threshold, the outcome, and the note."""
    side = "at least" if verdict.higher_is_better else "at most"
    score, limit = score_and_threshold(verdict.score, verdict.threshold)
    parts = [f"{verdict.metric} {score}, and the gate asks for {side} {limit}."]
    if verdict.outcome and verdict.champion:
        against = AGAINST[verdict.outcome]
        parts.append(f"{against.capitalize()} version {verdict.champion.version} at Production.")
    return " ".join((*parts, verdict.note)).strip()


def score_and_threshold(score: float | None, threshold: float) -> tuple[str, str]:
    """Both as text, with the digits that tell a near score from its threshold."""
    if score is not None and 0 < abs(score - threshold) < NEAR * max(1, abs(threshold)):
        return apart(score, threshold)
    return "none" if score is None else score_text(score), f"{threshold:g}"


def _tables(verdict: Verdict) -> list[tuple[Sequence[str], list[list[str]], str]]:
    """Header, lines, and a remark on lines that are left out, for criteria and comparisons;
    none if a sentence does."""
    criteria = [one for one in verdict.criteria if one.name != "champion"]
    found: list[tuple[Sequence[str], list[list[str]], str]] = []
    if verdict.comparisons or len(criteria) > 2:  # threshold and coverage are in the sentence
        shown = _shown(criteria, [not one.passed or not one.slice for one in criteria])
        found.append((HEADER_OF_CRITERIA, [_criterion(one) for one in shown], _left_out(criteria, shown)))
    if verdict.comparisons:
        every = verdict.comparisons
        shown_pairs = _shown(every, [one.outcome in ("worse", "undecided") or not one.slice for one in every])
        lines = [_comparison(one) for one in shown_pairs]
        header = [
            f"{percent(verdict.confidence)} interval" if h == "interval" else h for h in HEADER_OF_COMPARISONS
        ]
        found.append((header, lines, _left_out(every, shown_pairs)))
    return found


def _shown(every: Sequence[Row], important: list[bool]) -> list[Row]:
    """All of a few; of many, the important ones."""
    if len(every) <= MAX_LINES:
        return list(every)
    return [one for one, keep in zip(every, important, strict=True) if keep]


def _left_out(every: Sequence[object], shown: Sequence[object]) -> str:
    return f"\n\n{len(every) - len(shown)} slices that hold are not shown." if len(shown) < len(every) else ""


def _criterion(one: Criterion) -> list[str]:
    pair = one.value, one.limit
    numbers = [
        "" if number is None else apart(number, number if other is None else other)[0]
        for number, other in (pair, pair[::-1])
    ]
    return [
        one.name.replace("_", " "),
        one.metric,
        one.slice or "all",
        *numbers,
        "yes" if one.passed else "no",
    ]


def _comparison(one: Comparison) -> list[str]:
    scores = ["" if value is None else score_text(value) for value in (one.champion, one.challenger)]
    difference, interval, margin = differences(one)
    smallest = "" if one.smallest_difference is None else _significant(one.smallest_difference)
    rows = f"{one.slice or 'all'} ({one.rows:,})"
    return [one.metric, rows, *scores, difference, interval, margin, smallest,
            WORDS[one.outcome]]  # fmt: skip


def score_text(value: float) -> str:
    """A score with four decimals, or more where they would not show it."""
    return f"{value:,.4f}" if value == 0 or abs(value) >= 0.001 else _significant(value, 4)


def differences(one: Comparison) -> tuple[str, str, str]:
    """Difference, interval and margin, with the digits that show the outcome;
    "" for a number that is not known."""
    digits = 2
    if one.low is not None:
        # The lower end decides by its sign and by its distance from the margin.
        while digits < MOST_DIGITS and _significant(-one.low, digits) == _significant(one.margin, digits):
            digits += 1
    difference = "" if one.difference is None else _significant(one.difference, digits, "+")
    known = one.low is not None and one.high is not None
    ends = [_significant(end, digits, "+") for end in (one.low, one.high) if end is not None]
    return difference, " to ".join(ends) if known else "", _significant(one.margin, digits)


def _significant(value: float, digits: int = 2, sign: str = "-") -> str:
    """A number without an exponent, with at least this many significant digits: a small one never reads 0."""
    if not value:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:{sign},.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _piped(header: Sequence[str], lines: list[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *([_escaped(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: a value of a slice may hold its signs."""
    return " ".join(re.sub(r"[\\`*|<\[]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).split())


def _aligned(header: Sequence[str], lines: list[list[str]]) -> str:
    rows = [list(header), *lines]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(header))]
    padded = (
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in padded)


def _width(text: str) -> int:
    """Columns in a terminal: a Korean letter takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
