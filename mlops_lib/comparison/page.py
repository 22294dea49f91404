"""A comparison as one HTML page without anything from elsewhere."""

from functools import partial
from html import escape

from mlops_lib.comparison import view
from mlops_lib.comparison.result import ChangedRow, ComparisonReport
from mlops_lib.evaluation.verdict_text import WORDS
from mlops_lib.evaluation.words import word_changes
from mlops_lib.wording import cut

#: A long text of a row, without its end.
_cut = partial(cut, most=1_500)
TAGS = {"same": "", "removed": "del", "added": "ins"}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #15803d; --bad: #dc2626; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #f87171; --warn: #fbbf24; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Noto Sans CJK KR", "Noto Sans KR", sans-serif; margin: 0 auto; max-width: 1100px; padding: 32px 20px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 16px; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 32px 0 8px; }
.outcome { border-left: 4px solid var(--warn); background: var(--soft); padding: 8px 14px; margin: 8px 0; overflow-wrap: anywhere; }
.outcome.better, .outcome.not-worse { border-color: var(--good); } .outcome.worse { border-color: var(--bad); } .outcome.unknown { border-color: var(--line); }
td.better, td.not-worse, td.worse, td.undecided { font-weight: 600; } td.better, td.not-worse { color: var(--good); } td.worse { color: var(--bad); } td.undecided { color: var(--warn); }
.outcome b { display: inline-block; } .outcome b::first-letter { text-transform: uppercase; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: 6px 12px 6px 0; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-size: 13px; font-weight: 600; white-space: nowrap; } .numbers td { white-space: nowrap; }
ul { padding-left: 20px; } li { overflow-wrap: anywhere; }
.row { border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; margin: 10px 0; }
.row dl { display: grid; grid-template-columns: 110px 1fr; gap: 4px 12px; margin: 0; } dt { font-size: 13px; opacity: .75; } dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
del { color: #b91c1c; background: #fee2e2; } ins { color: #14532d; background: #dcfce7; text-decoration: none; font-weight: 600; }
@media (prefers-color-scheme: dark) { del { color: #fecaca; background: #7f1d1d; } ins { color: #bbf7d0; background: #14532d; } }
@media (max-width: 600px) { body { padding: 20px 14px; } th, td { font-size: 13px; } .row dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 6px; } }
"""


def page(report: ComparisonReport) -> str:
    """The whole page."""
    parts = [f"<h1>{escape(view.title(report))}</h1>"]
    parts += [
        f'<div class="outcome {one.outcome.replace(" ", "-")}"><b>{escape(one.outcome)}</b>. {escape(one.text)}</div>'
        for one in view.headlines(report)
    ]
    if report.directions:
        parts += ["<h2>Metrics</h2>", _table(view.metrics(report))]
    parts += ["<h2>Versions</h2>", _table(view.sides(report))]
    parts += [
        "<h2>Rows</h2>",
        "<ul>",
        *(f"<li>{escape(text)}</li>" for text in view.remarks(report)),
        "</ul>",
    ]
    if report.changed_rows:
        parts += ["<h2>Rows that changed, the largest loss first</h2>"]
        parts += [_row(row, report) for row in report.changed_rows]
    head = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(view.title(report))}</title>\n<style>{STYLE}</style>\n"
    )
    return head + "\n".join(parts) + "\n</html>\n"


def _table(table: view.Table) -> str:
    head, rows = table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return f'<div class="wide" tabindex="0"><table class="numbers"><tr>{cells}</tr>{"".join(lines)}</table></div>'


def _cell(text: str) -> str:
    kind = f' class="{text.replace(" ", "-")}"' if text in WORDS.values() else ""
    return f"<td{kind}>{escape(text)}</td>"


def _row(row: ChangedRow, report: ComparisonReport) -> str:
    items = [("row", escape(_cut(view.row_text(row)))), ("truth", escape(_cut(row.truth)))]
    before = row.predictions[0]
    for side, prediction in zip(report.sides, row.predictions, strict=True):
        is_text = report.task == "text" and side is not report.sides[0] and prediction
        shown = _difference(_cut(before), _cut(prediction)) if is_text else escape(_cut(prediction))
        items.append((side.label, shown or "<i>no prediction</i>"))
    items.append((view.change_name(report), view.change(row)))
    return f'<div class="row"><dl>{"".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in items)}</dl></div>'


def _difference(before: str, after: str) -> str:
    found = []
    for kind, text in word_changes(before, after):
        tag = TAGS[kind]
        found.append(f"<{tag}>{escape(text)}</{tag}>" if tag else escape(text))
    return "".join(found)
