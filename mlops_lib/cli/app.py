"""The `mlops` command: the commands of the other modules in one app."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from mlops_lib import __version__
from mlops_lib.cli import (
    compare,
    evaluate,
    export,
    features,
    own_packages,
    project,
    registry,
    reproduce,
    run,
    search,
    serve,
    why,
)
from mlops_lib.cli.display import err, out
from mlops_lib.cli.init.command import init
from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask
from mlops_lib.redact.output import mask_output

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train, register and serve models: one path for PyTorch, scikit-learn and LLM models.",
)
app.add_typer(features.app, name="features")


def main() -> None:
    """Run the command line."""
    own_packages.prefer()
    guarded(app)


def guarded(function: Callable[[], None]) -> None:
    """Call `function`; print an error of the platform as a message, without its traceback,
    and exit with 1."""
    mask_output()
    try:
        function()
    except MlopsError as error:
        err.print("[bold red]Error:[/] " + escape(mask(str(error))), soft_wrap=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


for command in (
    run.run,
    evaluate.evaluate,
    compare.compare,
    run.compile,
    registry.models,
    registry.promote,
    registry.rollback,
    reproduce.reproduce,
    export.export,
    registry.sign,
    search.search,
    serve.serve,
    serve.key,
    why.why,
    init,
    project.ui,
):
    app.command()(command)
app.command(name="config")(project.show_config)

if __name__ == "__main__":
    main()
