"""``mlops search``: search for better hyper-parameters."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, err, out
from mlops_lib.errors import MlopsError


def search(
    config_file: ConfigOption = None,
    trials: Annotated[int, typer.Option(min=0, help="Sets of values to try; 0: search.trials.")] = 0,
    seed: Annotated[int, typer.Option(min=-1, help="Seed of the proposed values; -1: search.seed.")] = -1,
    resume: Annotated[
        str, typer.Option(metavar="RUN", help="Continue this search, until it has --trials trials in all.")
    ] = "",
    host: Annotated[
        str, typer.Option(help="Run the trials as parallel tasks on Kubeflow Pipelines at this address.")
    ] = "",
    token: Annotated[
        str, typer.Option(envvar="KFP_TOKEN", show_envvar=True, help="With --host: bearer token.")
    ] = "",
    compile_to: Annotated[
        Path | None, typer.Option("--compile", help="Only write the search as YAML for a Kubeflow cluster.")
    ] = None,
) -> None:
    """Try values of hyper-parameters (search.space of config.yaml) and show the best.

    [dim]Example:[/] mlops search --trials 30
    """
    overrides = {"search.trials": trials or None, "search.seed": None if seed == -1 else seed}
    settings = config.load(config_file, overrides)
    if host or compile_to:
        if resume:
            raise MlopsError("--resume works on this machine only; leave out --host and --compile.")
        _on_cluster(settings, host, token, compile_to)
        return
    from mlops_lib import loaders
    from mlops_lib import search as searching
    from mlops_lib.data_checks import declared

    folder = loaders.prepared_folder(settings)
    declared.write(settings, loaders.from_settings(settings), folder)
    dataset = loaders.prepared(settings, folder)
    parent = searching.begin(settings, dataset, resume)
    metric, total = settings.evaluation.metric, settings.search.trials

    def show_trial(trial: Any, done: list[Any]) -> None:
        score = "failed" if trial.score is None else f"{trial.score:.4f}"
        leader = searching.best(done)
        so_far = f"best {leader.score:.4f}" if leader else ""
        values = "  ".join(f"{name.split('.')[-1]}={_short(value)}" for name, value in trial.values.items())
        if trial.error:
            err.print(f"         {trial.error}", soft_wrap=True, markup=False)
        err.print(
            f"{len(done):>3}/{total}  {metric} {score:<7} {so_far:<12} {values}",
            soft_wrap=True,
        )

    try:
        found = searching.run(settings, dataset, parent, show_trial)
    except KeyboardInterrupt:
        text = f"Interrupted. Continue it with: {settings.command('search', '--resume', parent)}"
        err.print(text, soft_wrap=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    out.print(f"[green]Best validation {metric}: {found.score:.4f}[/]  run {found.run_id}")
    out.print(
        f"Put this into config.yaml, and judge it on the test split with: {settings.command('run')}\n",
    )
    typer.echo(searching.as_config(settings, found.values))
    from mlops_lib import tracking

    out.print(f"Figure and trials: {tracking.describe_run(settings, parent)}", soft_wrap=True)


def _on_cluster(settings: Any, host: str, token: str, compile_to: Path | None) -> None:
    from pipelines.search import compile_search, search_on_cluster

    if compile_to:
        compile_search(settings, compile_to)
        out.print(f"Search written to {compile_to}.")
        return
    made = search_on_cluster(settings, host, token, lambda task, state: err.print(f"{task:<15} {state}"))
    out.print(f"{made.state}  {made.url}", soft_wrap=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
