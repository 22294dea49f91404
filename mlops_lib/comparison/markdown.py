"""A comparison as Markdown, for a pull request."""

import re

from mlops_lib.comparison import view
from mlops_lib.comparison.result import ChangedRow, ComparisonReport
from mlops_lib.evaluation.words import word_changes
from mlops_lib.wording import cut

MARKS = {"better": "🟢", "not worse": "🟢", "worse": "🔴", "undecided": "🟡", "unknown": "⚪"}
#: Rows that changed, and characters of a text: a pull request is read by people.
MAX_ROWS, MAX_TEXT = 10, 400
SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$])")


def markdown(report: ComparisonReport) -> str:
    """Headlines, tables and the first rows that changed."""
    lines = [f"### {_plain(view.title(report))}", ""]
    lines += [
        f"{MARKS[one.outcome]} **{one.outcome}**: {_plain(one.text)}\n" for one in view.headlines(report)
    ]
    if report.directions:
        lines += [*_table(view.metrics(report)), ""]
    lines += [*_table(view.sides(report)), ""]
    lines += [f"- {_plain(text)}" for text in view.remarks(report)]
    if report.changed_rows:
        lines += ["", *_changed(report)]
    return "\n".join(lines) + "\n"


def _changed(report: ComparisonReport) -> list[str]:
    rows = report.changed_rows[:MAX_ROWS]
    head = ("row", "truth", *(side.label for side in report.sides), view.change_name(report))
    table = (
        head,
        [
            (_cell(view.row_text(row)), _cell(row.truth), *_predictions(row, report), view.change(row))
            for row in rows
        ],
    )
    summary = f"<details><summary>{len(rows)} rows that changed, the largest loss first</summary>"
    return [summary, "", *_table(table, escape=False), "", "</details>"]


def _predictions(row: ChangedRow, report: ComparisonReport) -> list[str]:
    """The reference's prediction, then the others; of a text the words that changed."""
    before = row.predictions[0][:MAX_TEXT]
    if report.task != "text":
        return [_cell(one) if one else "*no prediction*" for one in row.predictions]
    return [_cell(before), *(_difference(before, one[:MAX_TEXT]) for one in row.predictions[1:])]


def _difference(before: str, after: str) -> str:
    """Removed words are struck out and added ones bold. The marks must touch the words,
    so spaces are outside."""
    if not after:
        return "*no prediction*"
    found = []
    for kind, text in word_changes(before, after):
        mark = {"same": "", "removed": "~~", "added": "**"}[kind]
        bare = text.strip()
        lead, trail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        found.append(f"{lead}{mark}{_plain(bare)}{mark}{trail}" if bare else text)
    return _one_line("".join(found)) or " "


def _table(table: view.Table, escape: bool = True) -> list[str]:
    head, rows = table
    cells = [[_cell(cell) if escape else cell for cell in row] for row in rows]
    return [_line(head), _line(["---"] * len(head)), *map(_line, cells)]


def _line(cells: "tuple[str, ...] | list[str]") -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _one_line(_plain(cut(text, MAX_TEXT))) or " "


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", "<br>", text.strip())


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", text)
