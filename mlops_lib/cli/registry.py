"""``mlops models``, ``promote``, ``rollback`` and ``sign``: the registry from the command line."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, err, out, progress, show, show_verdict
from mlops_lib.errors import MlopsError, RegistryError

if TYPE_CHECKING:
    from mlops_lib.registry import ModelVersion, Registry
    from mlops_lib.settings import Settings

STYLES = {"Production": "green", "Staging": "yellow"}


def promote(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    version: Annotated[int, typer.Argument(min=1, help="Version to move.")],
    stage: Annotated[str, typer.Option(help="Stage to move it to.")] = "Production",
    force: Annotated[bool, typer.Option("--force", help="Move it even if the gate refuses.")] = False,
    reason: Annotated[str, typer.Option(help="With --force: why. It is stored with your name.")] = "",
    config_file: ConfigOption = None,
) -> None:
    """Move a version to a stage, to Production if the gate passes;
    the version that holds the stage is archived.

    The gate compares the version with the one at Production now, on the same rows.
    It refuses with exit status 1.

    [dim]Example:[/] mlops promote repurchase 3

    [dim]Example:[/] mlops promote repurchase 3 --stage Staging

    [dim]Example:[/] mlops promote repurchase 3 --force --reason "the old model reads a column that is gone"
    """
    if force != bool(reason.strip()):
        raise MlopsError(
            "--force needs a reason: --force --reason TEXT"
            if force
            else "--reason is for a forced move: add --force"
        )
    if force and stage.title() != "Production":
        raise MlopsError(
            f"--force overrides the gate, and the gate is not asked for stage {stage!r}: leave it out"
        )
    from mlops_lib import promotion

    settings = config.load(config_file)
    if name != settings.model.name and stage.title() == "Production":
        err.print(
            f"Note: model.name of this configuration is {settings.model.name!r}. Its section evaluation decides on "
            f"{name!r}. If {name!r} has a configuration of its own, name it with: -c FILE",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    with progress() as say:
        try:
            done = promotion.promote(settings, name, version, stage, reason.strip(), say)
        except promotion.RefusedError as refused:
            done, refusal = None, refused
    if done is None:
        if not refusal.verdict:
            raise refusal
        show_verdict(refusal.verdict)
        raise MlopsError(
            f"The gate refused {name!r} version {version}; the reasons are above. {promotion.OVERRIDE}"
        )
    forced = bool(done.decision and done.decision.kind == "forced")
    if done.verdict:
        if forced:
            out.print("A person overrides this verdict of the gate:")
        show_verdict(done.verdict)
    _show_moved(settings, done.version, forced)


def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    stage: Annotated[str, typer.Option(help="Stage to give back.")] = "Production",
    config_file: ConfigOption = None,
) -> None:
    """Give a stage back to the version that held it before; run again, to the version before that.

    [dim]Example:[/] mlops rollback repurchase
    """
    from mlops_lib.registry import Registry

    settings = config.load(config_file)
    registry = Registry(settings)
    moved = registry.roll_back(name, stage)
    gone = registry.history(name).entries[-1].replaced
    words = ("promote", name, gone, *(() if moved.stage == "Production" else ("--stage", moved.stage)))
    out.print(
        f"[green]{moved.name} version {moved.version} is at {moved.stage} again, in the place of version {gone}.[/] "
        f"Undo with: {escape(settings.command(*words))}",
        soft_wrap=True,
    )


def sign(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    version: Annotated[int, typer.Argument(min=1, help="Version to sign.")],
    config_file: ConfigOption = None,
) -> None:
    """Sign the files of a version with the private key that MODEL_SIGNING_KEY names.

    The service loads signed versions alone where serving.signed_by names the public key.

    [dim]Example:[/] MODEL_SIGNING_KEY=key.pem mlops sign repurchase 3

    [dim]A pair of keys:[/]

    openssl ecparam -name prime256v1 -genkey -noout -out key.pem

    openssl ec -in key.pem -pubout -out public.pem
    """
    from mlops_lib.registry import Registry, signing

    settings = config.load(config_file)
    signing.sign(settings, Registry(settings).resolve(name, version=version))
    out.print(f"[green]{escape(name)} version {version} is signed.[/]")


def models(
    name: Annotated[str, typer.Argument(help="Show the versions of this model only.")] = "",
    at: Annotated[
        str,
        typer.Option(help="Which version held each stage then: a date or time, local unless it has a zone."),
    ] = "",
    history: Annotated[bool, typer.Option("--history", help="Show every move of a version.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """List registered models with their versions, stages, scores and the runs that trained them.

    [dim]Example:[/] mlops models repurchase

    [dim]Example:[/] mlops models repurchase --at 2026-11-01T09:30

    [dim]Example:[/] mlops models repurchase --history
    """
    settings = config.load(config_file)
    if (at or history) and not name:
        given = ("--at", at) if at else ("--history",)
        raise MlopsError(
            f"--at and --history are about one model: name it, as in: {settings.command('models', settings.model.name, *given)}"
        )
    moment = _moment(at) if at else None
    with progress("Reading the registry"):
        from mlops_lib.registry import Registry

        registry = Registry(settings)
        found = [v for model in ([name] if name else registry.names()) for v in registry.versions(model)]
        if name and found:
            try:
                registry.enter_found_moves(name)
            except RegistryError as error:  # reading goes on
                err.print(
                    f"Moves made outside the platform were not entered: {error}",
                    markup=False,
                )
    if name and found and (moment or history):
        _show_history(registry, name, moment)
        return
    table = Table("model", "version", "stage", "aliases", "score", box=None, pad_edge=False)
    # Run ids are shown whole, to be copied.
    table.add_column("training run", no_wrap=True, min_width=32)
    for v in found:
        style = STYLES.get(v.stage, "dim")
        table.add_row(v.name, str(v.version), v.stage, " ".join(v.aliases), _score(v), v.run_id, style=style)
    if table.row_count:
        show(table)
        return
    out.print(
        f"No model{f' {name!r}' if name else ''} in the registry at {registry.uri}. "
        f"Train one, which is registered when the gate passes, with: {escape(settings.command('run'))}",
        soft_wrap=True,
    )  # fmt: skip
    if name:
        raise typer.Exit(1)


def _score(version: "ModelVersion") -> str:
    from mlops_lib.registry import METRIC_TAG, SCORE_TAG

    tags = version.tags
    return f"{tags[METRIC_TAG]} {float(tags[SCORE_TAG]):.4f}" if SCORE_TAG in tags else ""


def _show_moved(settings: "Settings", moved: "ModelVersion", forced: bool) -> None:
    from mlops_lib.registry import replaced

    stage = () if moved.stage == "Production" else ("--stage", moved.stage)
    undo = settings.command("rollback", moved.name, *stage)
    hint = f" Undo with: {escape(undo)}" if replaced(moved) else ""
    by = ", by force" if forced else ""
    out.print(
        f"[green]{moved.name} version {moved.version} is at {moved.stage}{by}.[/]{hint}", soft_wrap=True
    )
    serving = settings.serving
    follows = not serving.alias and serving.version in (0, moved.version)
    if follows and moved.name == settings.model.name and moved.stage in STYLES:
        stage_set = "" if moved.stage == serving.stage else f"MLFLOW_MODEL_STAGE={moved.stage} "
        out.print(f"Next: [bold]{stage_set}{escape(settings.command('serve'))}[/]")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise MlopsError(
            f"--at {text!r} is no ISO date or time. Examples: 2026-11-01, 2026-11-01T09:30, 2026-11-01T09:30+09:00"
        ) from None
    if moment > datetime.now().astimezone():
        raise MlopsError(f"--at {text!r} is in the future.")
    return moment


def _show_history(registry: "Registry", name: str, moment: datetime | None) -> None:
    """Print who held each stage at a time, or all entries. Exit status 1 if an entry
    is missing or altered."""
    found = registry.history(name)
    if moment:
        _show_holders(registry, name, moment)
    else:
        table = Table(
            "entry", "time", "user", "action", "stage", "version", "replaced", box=None, pad_edge=False
        )
        table.add_column("reason", overflow="fold")
        for one in found.entries:
            numbers = (str(number or "none") for number in (one.version, one.replaced))
            action = one.action.replace("_", " ")
            table.add_row(
                str(one.number), one.at, escape(one.user), action, one.stage, *numbers, escape(one.reason)
            )
            for text in one.overridden:
                table.add_row(*[""] * 7, escape(f"Overridden: {text}"))
        show(table)
    if problem := found.verify():
        raise MlopsError(f"The history of {name!r} cannot be trusted. {problem}")


def _show_holders(registry: "Registry", name: str, moment: datetime) -> None:
    found = registry.history(name)
    out.print(f"{name} at {moment.isoformat(timespec='seconds')}:")
    if not found.entries or found.entries[0].time > moment:
        begins = f"begins at {found.entries[0].at}" if found.entries else "is empty"
        out.print(f"Not known: the history {begins}.")
        return
    held = found.holders(moment)
    table = Table("stage", "version", "since", "by", box=None, pad_edge=False)
    table.add_column("training run", no_wrap=True, min_width=32)
    for place in ("Production", "Staging", "@production", "@staging"):
        holder, stage = held.get(place), place.removeprefix("@").title()
        if place.startswith("@") and holder == held.get(stage):
            continue  # the alias is where its stage is
        shown = place if not place.startswith("@") else f"alias {place[1:]}"
        last = [e for e in found.entries if e.time <= moment and holder and e.version == holder.version]
        since = (last[-1].at, escape(last[-1].user)) if last else ("", "")
        table.add_row(
            shown, str(holder.version) if holder else "none", *since, holder.run_id if holder else ""
        )
    show(table)
