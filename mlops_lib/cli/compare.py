"""``mlops compare``: versions of a model, or champion and challenger in service, on the same rows."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out, progress, show
from mlops_lib.errors import ConfigError
from mlops_lib.wording import cut

if TYPE_CHECKING:
    from mlops_lib.comparison.result import ChangedRow, ComparisonReport
    from mlops_lib.comparison.view import Table as Cells

#: Exit status when the outcome is not the one of --fail-unless.
REFUSED = 3
COLOURS = {
    "better": "green",
    "not worse": "green",
    "worse": "red",
    "undecided": "yellow",
    "unknown": "yellow",
}
PIECES = {"same": "", "removed": "red strike", "added": "green bold"}
#: The same without colours, as git marks changed words.
PLAIN = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
#: Rows that changed, and characters of a text, in the terminal.
MAX_ROWS, MAX_TEXT = 5, 600


class Format(StrEnum):
    """Form of the result."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


class Required(StrEnum):
    """Outcome that --fail-unless asks for."""

    NOT_WORSE = "not_worse"
    BETTER = "better"


def compare(
    versions: Annotated[
        list[int] | None,
        typer.Argument(
            min=1,
            help="Two to five versions; the others are compared with the first. One: compared with Production. "
            "None: the version at Staging, else one newer than Production, is compared with Production.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Model in the registry; default: model.name.")] = "",
    log: Annotated[
        bool,
        typer.Option(
            "--log", help="Compare champion and challenger in service, from serving.prediction_log."
        ),
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="With --log: folder of the prediction log.", show_default=False)
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="With --log: leave out earlier requests (local time).")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Form of the result.")] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the result to this file; .html, .json or Markdown."),
    ] = None,
    fail_unless: Annotated[
        Required | None,
        typer.Option(
            help="Exit with status 3 unless each version has this outcome (better is not worse too)."
        ),
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Compare versions of a model, or champion and challenger in service, on the same rows.

    Each difference has a confidence interval and an outcome: better, not worse, worse, undecided.

    [dim]Examples:[/] mlops compare · mlops compare 3 4 5 · mlops compare 3 4 --format markdown · mlops compare --log
    """
    settings = config.load(config_file)
    if log or folder:
        where = str(folder.absolute()) if folder else settings.serving.prediction_log
        if not where:
            raise ConfigError(
                "serving.prediction_log names no folder. Set it, or give the folder with --folder."
            )
        if versions:
            raise ConfigError("--log compares the versions that are in the log: leave out the versions.")
        with progress("Reading the prediction log"):
            from mlops_lib.comparison.in_service import compare_in_service

            report = compare_in_service(settings, settings.path(where), since.astimezone() if since else None)
    else:
        if since:
            raise ConfigError("--since is for --log.")
        with progress("Comparing versions on the same rows"):
            from mlops_lib.comparison.page import page
            from mlops_lib.comparison.versions import compare_versions, log_page

            report = compare_versions(settings, name or settings.model.name, versions or [])
            log_page(report, page(report))
    if output and form == Format.TEXT:
        form = {".html": Format.HTML, ".json": Format.JSON}.get(output.suffix, Format.MARKDOWN)
    if form == Format.TEXT:
        _show(report)
    else:
        from mlops_lib.comparison.markdown import markdown
        from mlops_lib.comparison.page import page

        text = {
            Format.MARKDOWN: markdown, Format.HTML: page,
            Format.JSON: lambda report: report.model_dump_json(indent=2) + "\n",
        }[form](report)  # fmt: skip
        if output:
            output.write_text(text, encoding="utf-8")
            out.print(f"Written to {output}.", soft_wrap=True, markup=False)
        else:
            typer.echo(text, nl=False)
    good = {Required.NOT_WORSE: ("not_worse", "better"), Required.BETTER: ("better",)}
    if fail_unless and any(one.outcome not in good[fail_unless] for one in report.against):
        raise typer.Exit(REFUSED)


def _show(report: "ComparisonReport") -> None:
    from mlops_lib.comparison import view

    out.print(f"[bold]{escape(view.title(report))}[/]\n", soft_wrap=True)
    for one in view.headlines(report):
        out.print(f"[{COLOURS[one.outcome]}]{one.outcome}[/]  {escape(one.text)}\n")
    if report.directions:
        show(_table(view.metrics(report)))
        out.print()
    show(_table(view.sides(report)))
    out.print()
    for text in view.remarks(report):
        out.print(escape(text))
    rows = report.changed_rows[:MAX_ROWS]
    if rows:
        out.print(f"\n[bold]Rows that changed, the largest loss first[/] ({len(rows)} shown)")
    for row in rows:
        _show_row(report, row)


def _table(cells: "Cells") -> Table:
    head, rows = cells
    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"[{COLOURS[cell]}]{cell}[/]" if cell in COLOURS else escape(cell) for cell in row))
    return table


def _show_row(report: "ComparisonReport", row: "ChangedRow") -> None:
    from mlops_lib.comparison import view
    from mlops_lib.evaluation.words import word_changes

    table = Table.grid(padding=(0, 2))
    table.add_row(Text("row", "dim"), Text(cut(view.row_text(row), MAX_TEXT)))
    table.add_row(Text("truth", "dim"), Text(cut(row.truth, MAX_TEXT)))
    before = cut(row.predictions[0], MAX_TEXT)
    for at, (side, prediction) in enumerate(zip(report.sides, row.predictions, strict=True)):
        shown = Text(cut(prediction, MAX_TEXT) or "no prediction")
        if at and prediction and report.task == "text":
            pieces = word_changes(before, cut(prediction, MAX_TEXT))
            plain = not out.is_terminal or out.no_color
            shown = Text.assemble(
                *(
                    (PLAIN[one.kind].format(one.text) if plain else one.text, PIECES[one.kind])
                    for one in pieces
                )
            )
        table.add_row(Text(side.label, "dim"), shown)
    table.add_row(Text(view.change_name(report), "dim"), Text(view.change(row)))
    out.print()
    out.print(table)
