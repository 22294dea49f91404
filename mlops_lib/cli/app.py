"""The `mlops` command. Each command resolves settings, calls one function, and shows what came of it."""

import os
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mlops_lib import __version__, config
from mlops_lib.cli import features, project, registry, search, serve
from mlops_lib.cli.display import ConfigOption, err, out
from mlops_lib.errors import MlopsError
from mlops_lib.redact import masked

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train, register and serve models: one path for PyTorch, scikit-learn and LLM models.",
)
app.add_typer(features.app, name="features")
#: Exit status of a run that went well and whose model the gate refused, so that a script can tell.
REFUSED = 3


class Runner(StrEnum):
    """Where the steps of a pipeline run."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"
    KFP = "kfp"


def main() -> None:
    """Run the command line."""
    guarded(app)


def guarded(function: Callable[[], None]) -> None:
    """Call `function`; what the platform raises on purpose is shown as a message, not as a traceback."""
    try:
        function()
    except MlopsError as error:
        err.print("[bold red]Error:[/] " + escape(masked(str(error))), highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def run(
    config_file: ConfigOption = None,
    loader: Annotated[str, typer.Option(help="Loader name; default: data.loader.")] = "",
    source: Annotated[str, typer.Option(help="File, folder or URI; default: data.source.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Rows to keep of each split; 0 means all.")] = 0,
    max_epochs: Annotated[
        int, typer.Option(min=0, help="Most passes over the data; 0: train.max_epochs.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=-1, help="Seed of weights and shuffling; -1: train.seed.")] = -1,
    threshold: Annotated[float, typer.Option(help="Score to reach; -1: evaluation.threshold.")] = -1.0,
    runner: Annotated[
        Runner, typer.Option(help="Each step in a process, in a container, or on a Kubeflow cluster.")
    ] = Runner.SUBPROCESS,
    cache: Annotated[bool, typer.Option(help="Skip steps whose inputs are as they were.")] = True,
    resume: Annotated[
        str, typer.Option(metavar="RUN", help="Continue this run after the last step that it finished.")
    ] = "",
    host: Annotated[str, typer.Option(help="With --runner kfp: address of Kubeflow Pipelines.")] = "",
    token: Annotated[
        str, typer.Option(envvar="KFP_TOKEN", show_envvar=True, help="With --runner kfp: bearer token.")
    ] = "",
    namespace: Annotated[
        str, typer.Option(help="With --runner kfp: namespace; default: cluster.namespace.")
    ] = "",
    experiment: Annotated[str, typer.Option(help="Experiment; default: mlflow.experiment.")] = "",
    cron: Annotated[
        str, typer.Option(help="With --runner kfp: run at these times, as '0 0 3 * * *' (seconds first).")
    ] = "",
) -> None:
    """Run the four notebooks as a pipeline.

    Exit status: 0 when the model was registered, 3 when the gate refused it, 1 on an error.

    [dim]Example:[/] mlops run --limit 2000 --max-epochs 5
    """
    from mlops_lib.cli.run_display import PipelineDisplay, show_result

    own = {"--loader": loader, "--source": source, "--limit": limit, "--max-epochs": max_epochs}
    own |= {"--seed": seed != -1, "--threshold": threshold != -1}
    clusters = {"--host": host, "--namespace": namespace, "--cron": cron}
    if runner is Runner.KFP:
        _refuse(
            {"--resume": resume},
            "A run on Kubeflow is not resumed: its steps remember (cluster.volume_claim)",
        )
    else:
        _refuse(clusters, "That needs --runner kfp")
    if resume:
        _refuse(own, "A run that is resumed keeps the arguments that it had")
    overrides = {
        "data.loader": loader,
        "data.source": source,
        "train.max_epochs": max_epochs or None,
        "train.seed": None if seed == -1 else seed,
        "evaluation.threshold": None if threshold == -1 else threshold,
        "cluster.namespace": namespace,
        "mlflow.experiment": experiment,
    }
    loaded = config.load_with_origins(config_file, overrides)
    run_local = _attribute("pipelines.local", "run_local")
    arguments = {
        "loader": loader,
        "source": str(loaded.settings.path(source)) if source and "://" not in source else source,
        "limit": limit,
        "max_epochs": max_epochs,
        "seed": seed,
        "threshold": threshold,
    }
    if runner is Runner.KFP:
        if not host:
            raise MlopsError("--runner kfp needs --host, the address of Kubeflow Pipelines.")
        arguments["source"] = source
        run_on_cluster = _attribute("pipelines.kubeflow", "run_on_cluster")
        made = run_on_cluster(
            loaded.settings,
            arguments,
            host,
            token=token,
            cron=cron,
            remember=cache,
            on_change=lambda task, state: err.print(f"{task:<15} {state}", highlight=False),
        )
        out.print(f"{made.state}  {made.url}", highlight=False, soft_wrap=True)
        return
    if experiment:
        os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment  # the steps read it again
    try:
        with PipelineDisplay(err) as display:
            result = run_local(
                loaded.settings,
                loaded.file,
                arguments,
                display.update,
                runner=runner,
                remember=cache,
                resume=resume,
            )
    except KeyboardInterrupt as error:
        err.print(str(error), highlight=False, soft_wrap=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    show_result(loaded.settings, result)
    if result.registered is None:
        raise typer.Exit(REFUSED)


@app.command()
def evaluate(
    config_file: ConfigOption = None,
    run_id: Annotated[str, typer.Option(help="Run of the model; default: the latest trained one.")] = "",
    replay: Annotated[
        str, typer.Option(help="Reproduce this run's evaluation from its recorded LLM calls; logs nothing.")
    ] = "",
) -> None:
    """Judge a trained model on the test split of the configured data and show its scores.

    [dim]Example:[/] mlops evaluate --replay 3f2a...
    """
    from mlops_lib import loaders, tracking, wrappers
    from mlops_lib.cli.run_display import show_report
    from mlops_lib.data_checks import declared

    settings = config.load(config_file, {"evaluation.replay": replay})
    tracking.connect(settings)
    run_id = replay or run_id or tracking.latest_run(settings, "train-model")
    out.print(
        f"{settings.model.name}, {tracking.describe_run(settings, run_id)}", highlight=False, soft_wrap=True
    )
    model = wrappers.load(wrappers.uri_of_run(run_id), settings.model.wrapper)
    folder = loaders.prepared_folder(settings)
    declared.write(settings, loaders.from_settings(settings), folder)
    show_report(model.evaluate(loaders.prepared(settings, folder), settings))


@app.command()
def compile(
    output: Annotated[Path, typer.Argument(help="YAML file to write.")] = Path("training.yaml"),
    config_file: ConfigOption = None,
) -> None:
    """Write the pipeline as YAML for a Kubeflow cluster.

    [dim]Example:[/] mlops compile training.yaml
    """
    loaded = config.load_with_origins(config_file)
    _attribute("pipelines.kubeflow", "compile_pipeline")(loaded.settings, output)
    out.print(
        f"Pipeline written to {output}. Upload it in the Kubeflow UI, or with: kfp pipeline create {output}"
    )


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raise for options that were given and would not be followed."""
    if given := [name for name, value in options.items() if value]:
        raise MlopsError(f"{why}: leave out {', '.join(given)}.")


for command in (registry.models, registry.promote, registry.rollback, search.search, serve.serve, serve.key):
    app.command()(command)
app.command()(project.init)
app.command(name="config")(project.show_config)
app.command()(project.ui)


def _attribute(module: str, name: str):
    """Pipelines and serving are reached by name, on use: this library must not depend on them."""
    import importlib

    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    main()
