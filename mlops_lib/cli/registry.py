"""``mlops models``, ``promote`` and ``rollback``: the registry from the command line."""

from typing import Annotated

import typer
from rich.table import Table

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out, show

STYLES = {"Production": "green", "Staging": "yellow"}


def promote(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    version: Annotated[int, typer.Argument(min=1, help="Version to move.")],
    stage: Annotated[str, typer.Option(help="Stage to move it to.")] = "Production",
    config_file: ConfigOption = None,
) -> None:
    """Move a version to a stage; the version that holds it is archived.

    [dim]Example:[/] mlops promote repurchase 3 --stage Production
    """
    from mlops_lib.registry import Decision, Registry, replaced

    settings = config.load(config_file)
    registry = Registry(settings)
    holder = next((v.version for v in registry.versions(name) if v.stage == stage.title()), 0)
    moved = registry.promote(name, version, stage, Decision("forced", holder, reason="mlops promote"))
    undo = "" if moved.stage == "Production" else f" --stage {moved.stage}"
    hint = f" Undo with: mlops rollback {name}{undo}" if replaced(moved) else ""
    out.print(f"[green]{moved.name} version {moved.version} is at {moved.stage}.[/]{hint}")
    serving = settings.serving
    follows = not serving.alias and serving.version in (0, moved.version)
    if follows and moved.name == settings.model.name and moved.stage in STYLES:
        stage_set = "" if moved.stage == serving.stage else f"MLFLOW_MODEL_STAGE={moved.stage} "
        out.print(f"Next: [bold]{stage_set}mlops serve[/]", highlight=False)


def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    stage: Annotated[str, typer.Option(help="Stage to give back.")] = "Production",
    config_file: ConfigOption = None,
) -> None:
    """Give a stage back to the version that held it before; run again, to the version before that.

    [dim]Example:[/] mlops rollback repurchase
    """
    from mlops_lib.registry import Registry

    moved = Registry(config.load(config_file)).roll_back(name, stage)
    out.print(f"[green]{moved.name} version {moved.version} is at {moved.stage} again.[/]")


def models(
    name: Annotated[str, typer.Argument(help="Show the versions of this model only.")] = "",
    config_file: ConfigOption = None,
) -> None:
    """List registered models with their versions, stages, scores and the runs that trained them.

    [dim]Example:[/] mlops models repurchase
    """
    from mlops_lib.registry import METRIC_TAG, SCORE_TAG, Registry

    registry = Registry(config.load(config_file))
    table = Table("model", "version", "stage", "aliases", "score", box=None, pad_edge=False)
    # Run ids are shown whole, to be copied.
    table.add_column("training run", no_wrap=True, min_width=32)
    for model in [name] if name else registry.names():
        for v in registry.versions(model):
            score = f"{v.tags[METRIC_TAG]} {float(v.tags[SCORE_TAG]):.4f}" if SCORE_TAG in v.tags else ""
            style = STYLES.get(v.stage, "dim")
            table.add_row(v.name, str(v.version), v.stage, " ".join(v.aliases), score, v.run_id, style=style)
    if table.row_count:
        show(table)
        return
    out.print(
        f"No model{f' {name!r}' if name else ''} in the registry at {registry.uri}. "
        "`mlops run` trains one, and registers it when the gate passes."
    )
    if name:
        raise typer.Exit(1)
