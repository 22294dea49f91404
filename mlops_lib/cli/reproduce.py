"""``mlops reproduce``: a registered version made again and compared."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, err, out
from mlops_lib.errors import ConfigError, ReproductionError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.settings.served_model import served_model

#: Exit status by outcome, for scripts. A version that cannot be made again is not reproduced either.
STATUS = {"identical": 0, "within tolerance": 3, "different": 4}
STYLES = {"identical": "green", "within tolerance": "yellow", "different": "red"}


def reproduce(
    version: Annotated[
        list[str],
        typer.Argument(
            metavar="VERSION", help="3, or NAME 3, or models:/NAME/3; the usual NAME is model.name."
        ),
    ],
    environment: Annotated[
        bool, typer.Option("--environment", help="Install the version's lock with uv, and run there.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Largest allowed difference of a prediction, as a share of the label's range."
        ),
    ] = 0.001,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the folder with code, data and runs there.")
    ] = False,
    config_file: ConfigOption = None,
) -> None:
    """Make a version again from its lineage, and compare the predictions.

    Its code (with the uncommitted changes of that day), data, settings and seed, in a folder and an MLflow of its own:
    your files, runs and registry stay as they are. LLM calls are answered from the recorded ones.

    Exit status: 0 identical, 3 within tolerance, 4 different or not possible, 1 on an error.

    [dim]Examples:[/] mlops reproduce 3 · mlops reproduce repurchase 3 --environment · mlops reproduce models:/repurchase@production
    """
    from mlops_lib.lineage.reproduce import reproduce as make_again
    from mlops_lib.registry import Registry

    settings = config.load(config_file)
    name, which = _parsed(version, settings)
    found = Registry(settings).resolve(name, **which)

    def say(text: str) -> None:
        err.print(escape(mask(text)), soft_wrap=True)

    say(f"{found.name} version {found.version}, run {found.run_id}")
    try:
        made = make_again(settings, found, tolerance, say, environment, keep)
    except ReproductionError as error:
        err.print(f"[bold red]Not reproduced:[/] {escape(mask(str(error)))}", soft_wrap=True)
        raise typer.Exit(STATUS["different"]) from None
    comparison = made.comparison
    table = Table.grid(padding=(0, 2))
    table.add_row("predictions", escape(comparison.predictions))
    table.add_row("metric", _scores(*made.scores))
    table.add_row("model files", escape(comparison.files))
    if made.environment:
        table.add_row("environment", f"{len(made.environment)} differences, listed above")
    out.print(table)
    style = STYLES[comparison.outcome]
    out.print(f"[{style}]{escape(found.name)} version {found.version}: {comparison.outcome}[/]")
    raise typer.Exit(STATUS[comparison.outcome])


def _parsed(given: list[str], settings: Settings) -> tuple[str, dict[str, Any]]:
    """Name of the model, and the arguments of `Registry.resolve`.

    Raises:
        ConfigError: The arguments name no version.
    """
    name = settings.model.name
    forms = "Give a version: " + ", or ".join(
        settings.command("reproduce", *words) for words in (("3",), ("NAME", "3"), ("models:/NAME/3",))
    )
    if len(given) == 1 and given[0].startswith("models:"):
        found = served_model(given[0])
        which = {key: found[f"serving.{key}"] for key in ("stage", "alias", "version")}
        return found["model.name"], which
    if len(given) == 2:
        name = given[0]
    number = given[-1].removeprefix("v")
    if len(given) > 2 or not number.isdecimal() or not int(number):
        raise ConfigError(f"{' '.join(given)!r} names no version. {forms}")
    if not name:
        raise ConfigError(f"model.name is not set. {forms}")
    return name, {"version": int(number)}


def _scores(before: float | None, now: float | None) -> str:
    if before is None or now is None:
        return f"{before} then, {now} now"
    gap = "the same" if before == now else f"differs by {abs(now - before):.3g}"
    return f"{before:.6g} then, {now:.6g} now: {gap}"
