"""Where the commands write, and the option that all of them have."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

#: Results, for people and pipes.
out = Console()
#: Progress and errors.
err = Console(stderr=True)
#: Wide enough for every row of a table where no terminal cuts it.
PIPED = 400

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default: MLOPS_CONFIG, else the nearest config.yaml."),
]


def show(table: Table) -> None:
    """Print a table: folded to a terminal's width, one line a row into a pipe, where nothing may be cut off."""
    if out.is_terminal:
        out.print(table)
        return
    text = io.StringIO()
    Console(file=text, width=PIPED).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))
