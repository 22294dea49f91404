"""Show the columns of a table and what was chosen."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table as Grid

from mlops_lib.cli.display import err, out, show
from mlops_lib.cli.init.table import Table

#: Columns of a wide table that a terminal shows: the first ones and those with a role.
SHOWN = 24
#: Characters of examples.
WIDTH = 26


def show_columns(table: Table, roles: Mapping[str, tuple[str, str]]) -> None:
    """Print the columns with kind, role, share of gaps, example values and the reason.

    Args:
        table: The source.
        roles: Column -> role that is proposed for it, and why.
    """
    sampled = f" (kinds from {len(table.sample):,} of them)" if table.is_sampled else ""
    out.print(
        f"[bold]{escape(table.shown)}[/]: {table.rows:,} rows{sampled}, {len(table.names)} columns",
        soft_wrap=True,
    )
    grid = Grid(box=None, pad_edge=False)
    for heading in ("column", "kind", "use", "missing", "examples", "why"):
        grid.add_column(heading, no_wrap=heading != "why")
    left = []
    for place, (name, column) in enumerate(table.columns.items()):
        role, why = roles.get(name, (column.role, column.reason))
        if out.is_terminal and len(table.names) > SHOWN and place >= SHOWN - len(roles) and role == "feature":
            left.append(column.kind)
            continue
        gaps = table.sample[name].null_count / len(table.sample)
        if role == "feature" and column.distinct == 1 and not gaps:
            role, why = "constant", f"one value in every row, which tells nothing; {why}"
        missing = "" if not gaps else f"{gaps:.1%}" if gaps >= 0.001 else "<0.1%"
        color = {
            "label": "green",
            "key": "cyan",
            "time": "cyan",
            "ignored": "dim",
            "unused": "dim",
            "constant": "dim",
        }.get(role)
        grid.add_row(
            *map(escape, (name, column.kind, role, missing, _examples(table, name), why)),
            style=color,
        )
    show(grid)
    if left:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(left).most_common())
        out.print(f"[dim]and {len(left)} more features: {kinds}[/]")


def show_choices(record: Mapping[str, tuple[str, str]]) -> None:
    """Print what was chosen, with the reasons of what was proposed."""
    out.print()
    grid = Grid.grid(padding=(0, 2))
    for what, (value, reason) in record.items():
        grid.add_row(what, f"[bold]{escape(value) or 'none'}[/]", f"[dim]{escape(reason)}[/]")
    show(grid)


def show_winning(variables: Sequence[str]) -> None:
    """Warn of environment variables that win over the new config.yaml."""
    if variables:
        err.print(f"[yellow]{', '.join(variables)} in the environment wins over config.yaml.[/]")


def first_command(folder: Path) -> str:
    """The command that runs a new project in `folder`."""
    return "mlops run" if folder == Path() else f"cd {shlex.quote(str(folder))} && mlops run"


def _examples(table: Table, name: str) -> str:
    """The first distinct values, as many as fit."""
    values = dict.fromkeys(_text(v) for v in table.some_values(name) if v is not None)
    shown = ""
    for value in values:
        if len(shown) + len(value) + 2 > WIDTH and shown:
            break
        shown += (", " if shown else "") + (value if len(value) <= WIDTH else f"{value[: WIDTH - 1]}…")
    return shown


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = f"{value:g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00")
    return text if text.isprintable() and text.strip() == text and text else repr(value)
