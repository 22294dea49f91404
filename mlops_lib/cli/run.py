"""``mlops run`` and ``compile``: the training pipeline on this machine or on a Kubeflow cluster."""

import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_lib import config, plugins
from mlops_lib.cli.display import ConfigOption, PipelineDisplay, err, out, show_result
from mlops_lib.errors import MlopsError
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import setting_of
from mlops_lib.steps.table import STEPS
from mlops_lib.wrappers import network_settings

#: Exit status when the run succeeded and the gate refused the model, for scripts.
REFUSED = 3


class Runner(StrEnum):
    """Where the steps of a pipeline run."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"
    KFP = "kfp"


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
    cache: Annotated[bool, typer.Option(help="Skip steps whose inputs are unchanged.")] = True,
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
    """Run the notebooks as a pipeline.

    Exit status: 0 when the model was registered, 3 when the gate refused it, 1 on an error.

    [dim]Example:[/] mlops run --limit 2000 --max-epochs 5
    """
    own = {"--loader": loader, "--source": source, "--limit": limit, "--max-epochs": max_epochs}
    own |= {"--seed": seed != -1, "--threshold": threshold != -1}
    if runner is Runner.KFP:
        why = "A run on Kubeflow cannot be resumed: its steps use the step cache (cluster.volume_claim)"
        _refuse({"--resume": resume}, why)
        if not host:
            raise MlopsError("--runner kfp needs --host, the address of Kubeflow Pipelines.")
    else:
        _refuse({"--host": host, "--namespace": namespace, "--cron": cron}, "This needs --runner kfp")
    if resume:
        _refuse(own, "A resumed run has the arguments that it was started with")
    if experiment:
        os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment  # the steps resolve their settings from it
    loaded = config.load_with_origins(config_file, {"cluster.namespace": namespace})
    arguments = {
        "loader": loader,
        "source": source,
        "limit": limit,
        "max_epochs": max_epochs,
        "seed": seed,
        "threshold": threshold,
    }
    _check(loaded.settings, arguments)
    if network_settings.settings_of_networks(loaded.settings) and not _has_epochs(loaded.settings):
        network_settings.refuse(loaded.settings)  # as 02_train would, after the data was read
    if max_epochs and not _has_epochs(loaded.settings):
        arguments["max_epochs"] = 0
        err.print(
            f"--max-epochs has no effect: model.wrapper {loaded.settings.model.wrapper!r} trains without epochs.",
        )
    if runner is Runner.KFP:
        _on_cluster(loaded.settings, arguments, host, token, cron, cache)
        return
    if source and "://" not in source:
        arguments["source"] = str(loaded.settings.path(source))
    from pipelines.local import run_local

    try:
        with PipelineDisplay(err) as display:
            result = run_local(
                loaded.settings,
                loaded.file,
                arguments,
                display.update,
                runner=runner,
                use_cache=cache,
                resume=resume,
                on_start=display.start,
            )
    except KeyboardInterrupt as error:
        err.print(str(error), soft_wrap=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    if not show_result(loaded.settings, result):
        raise typer.Exit(REFUSED)


def compile(
    output: Annotated[Path, typer.Argument(help="YAML file to write.")] = Path("training.yaml"),
    config_file: ConfigOption = None,
) -> None:
    """Write the pipeline as YAML for a Kubeflow cluster.

    [dim]Example:[/] mlops compile training.yaml
    """
    settings = config.load(config_file)
    from pipelines.kubeflow import compile_pipeline

    compile_pipeline(settings, output)
    out.print(
        f"Pipeline written to {output}. Upload it in the Kubeflow UI, or with: kfp pipeline create {output}"
    )


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raise for options that were given and would have no effect."""
    if given := [name for name, value in options.items() if value]:
        raise MlopsError(f"{why}: leave out {', '.join(given)}.")


def _has_epochs(settings: Settings) -> bool:
    return bool(plugins.load("wrapper", settings.model.wrapper).has_epochs)


def _check(settings: Settings, arguments: dict[str, Any]) -> None:
    """Raise ConfigError for an argument that its setting does not allow, before anything starts."""
    replaced = {}
    for step in STEPS:
        for name in step.arguments:
            if name in arguments and arguments[name] != step.parameters.model_fields[name].default:
                replaced[setting_of(step.parameters, name)] = arguments[name]
    config.replaced(settings, {setting: value for setting, value in replaced.items() if setting})


def _on_cluster(
    settings: Settings, arguments: dict[str, Any], host: str, token: str, cron: str, cache: bool
) -> None:
    from pipelines.kubeflow import run_on_cluster

    started = run_on_cluster(
        settings,
        arguments,
        host,
        token=token,
        cron=cron,
        use_cache=cache,
        on_change=lambda task, state: err.print(f"{task:<15} {state}"),
    )
    out.print(f"{started.state}  {started.url}", soft_wrap=True)
