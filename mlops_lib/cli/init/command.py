"""The command ``mlops init``."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mlops_lib import loaders
from mlops_lib.cli.display import err, out
from mlops_lib.cli.init import from_template, hints, project, proposals
from mlops_lib.cli.init.choices import Choices, project_name
from mlops_lib.cli.init.decisions import decide
from mlops_lib.cli.init.display import first_command, show_choices, show_columns, show_winning
from mlops_lib.cli.init.given import Given, parse_settings, with_settings
from mlops_lib.cli.init.proposals import Proposal
from mlops_lib.cli.init.questions import Questions
from mlops_lib.cli.init.source import parse
from mlops_lib.cli.init.table import Table, read
from mlops_lib.cli.init.threshold import Threshold, choose
from mlops_lib.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mlops_lib.loaders.base import BaseDataLoader


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make, or an existing one.")],
    source: Annotated[
        str, typer.Option(help="File, folder or address of the rows: data.csv, s3://..., postgresql://...")
    ] = "",
    template: Annotated[
        str, typer.Option(help="LLM project that runs without a key, instead of rows: prompt, rag or agent.")
    ] = "",
    label: Annotated[str, typer.Option(help="Column to predict.")] = "",
    key: Annotated[
        str | None,
        typer.Option(help="Column of the entity, group or series; '' for none.", show_default=False),
    ] = None,
    task: Annotated[str, typer.Option(help="classification, regression, ranking or forecast.")] = "",
    metric: Annotated[str, typer.Option(help="Metric that decides; docs/evaluation.md lists them.")] = "",
    time: Annotated[
        str | None,
        typer.Option(help="Time of a row: the test split is the latest; '' for none.", show_default=False),
    ] = None,
    missing_label: Annotated[str, typer.Option(help="drop: leave out rows without a label.")] = "",
    table: Annotated[str, typer.Option(help="Of a database: table or view.")] = "",
    query: Annotated[
        str, typer.Option(help="Of a database: SELECT with an ORDER BY, instead of --table.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SETTING=VALUE", help="Any setting, such as data.csv.separator=';'."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take all proposals without a question.")] = False,
) -> None:
    """Begin a project that runs as it is, from a table or from a template.

    It has a config.yaml and copies of the notebooks.

    From a table: shows the columns with their kinds and proposes label, key,
    task and metric. In a terminal it asks; elsewhere the options decide, and the
    rest is as proposed. All is checked before a file is written.

    [dim]Example:[/] mlops init churn --source churn.csv
    [dim]Example:[/] mlops init churn --source churn.csv --label Churn --key customerID
    [dim]Example:[/] mlops init pay --source s3://bucket/pay/ --label amount --task regression --yes
    [dim]Example:[/] mlops init search --source clicks.parquet --label relevance --task ranking
    [dim]Example:[/] mlops init sales --source sales.csv --label sales --task forecast
    [dim]Example:[/] mlops init shop --source postgresql+psycopg://me@db/shop --table orders --label returned

    From a template, an LLM project with a golden set in two languages and a
    model that needs no key: [bold]prompt[/] answers with a prompt, [bold]rag[/] from your Markdown
    files with sources, [bold]agent[/] with tools (LangGraph).

    [dim]Example:[/] mlops init answers --template rag

    In a folder with a config.yaml of your own and without notebooks: copies the
    notebooks.

    [dim]Example:[/] mlops init .
    """
    if template:
        of_rows = {"source": source, "label": label, "key": key is not None, "task": task, "metric": metric,
                   "time": time is not None, "missing-label": missing_label, "table": table, "query": query,
                   "set": settings}  # fmt: skip
        if unfit := [f"--{option}" for option, value in of_rows.items() if value]:
            raise ConfigError(f"--template has a golden set of its own: leave out {', '.join(unfit)}.")
        from_template.begin(folder, template)
        return
    if not source and project.lacks_notebooks(folder):
        notebooks = project.add_notebooks(folder)
        command = escape(first_command(folder))
        out.print(f"{escape(str(notebooks))} is made. Next: [bold]{command}[/]", soft_wrap=True)
        return
    asked = Questions(asks=not yes and sys.stdin.isatty() and out.is_terminal)
    project.check_folder(folder)
    given, others = with_settings(
        Given(label, key, time, task, metric, missing_label, takes_proposals=yes),
        parse_settings(settings or ()),
    )
    if given.missing_label not in ("", "drop", "error"):
        raise ConfigError(f"--missing-label is {given.missing_label!r}. It is drop or error.")
    where = parse(_source(source, asked), folder, table, query)
    choices = Choices(project_name(folder), where, given=others)
    with project.without_work_files_after_an_error(folder):
        threshold = _ask_and_check(choices, given, asked, folder)
        winning = project.write(folder, choices.text(threshold))
    show_winning(winning)
    made = escape(f"{folder / 'config.yaml'} and {folder / 'notebooks'}")
    run = escape(first_command(folder))
    out.print(f"\n{made} are made. Next: [bold]{run}[/]", soft_wrap=True)


def _ask_and_check(choices: Choices, given: Given, asked: Questions, folder: Path) -> Threshold:
    """Show the columns, fill in `choices`, and score the baselines."""
    try:
        looked = _look(loaders.from_settings(choices.settings(folder)), choices.source.shown)
        show_columns(looked, _proposed_roles(looked, given))
        for hint in hints.missing_values(looked):
            out.print(f"[yellow]{escape(hint)}[/]", soft_wrap=True)
        if asked.asks:
            out.print("\n[dim]Enter takes the proposal; - means none.[/]")
        decide(looked, given, asked, choices)
        with err.status("Splitting the rows, scoring baselines"):
            threshold = choose(choices.settings(folder), "evaluation.threshold" in choices.given)
    except DataError as error:
        if not re.search(r"[Ss]et data\.(?!source)", str(error)):
            raise
        raise DataError(f"{error} There is no config.yaml yet: give it as --set SETTING=VALUE.") from None
    splits = ", ".join(f"{rows:,} {split}" for split, rows in threshold.rows.items())
    asked.record["splits"] = (splits, choices.reasons.get("data.split", ""))
    asked.record["threshold"] = (f"{threshold.value:g}", threshold.reason())
    show_choices(asked.record)
    return threshold


def _source(given: str, asked: Questions) -> str:
    if given:
        return given
    if not asked.asks:
        raise ConfigError("Name the rows with --source: a file, a folder or an address.")
    return typer.prompt("Where are the rows? File, folder or address")


def _look(loader: "BaseDataLoader", shown: str) -> Table:
    reading = f"Reading {escape(shown)}"
    with err.status(reading) as status:
        return read(loader, shown, lambda rows: status.update(f"{reading}: {rows:,} rows"))


def _proposed_roles(table: Table, given: Given) -> dict[str, tuple[str, str]]:
    """Column -> role and why, by the options and else by the proposals, for the first look."""
    label = Proposal(given.label, "--label") if given.label else proposals.label(table, given.columns)
    first = proposals.time(table, label.value, "") if given.time is None else Proposal(given.time, "--time")
    taken = (*given.columns, first.value) if given.task == "forecast" else given.columns
    key = (
        proposals.of_key(given.task)(table, label.value, taken)
        if given.key is None
        else Proposal(given.key, "--key")
    )
    known_key = key.value if key.value in table.names and given.task != "forecast" else ""
    time = proposals.time(table, label.value, known_key) if given.time is None else first
    found = {"time": time, "key": key, "label": label}
    return {one.value: (role, one.reason) for role, one in found.items() if one.value}
